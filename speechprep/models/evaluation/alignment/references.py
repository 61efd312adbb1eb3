"""Reference word times: a folder of TextGrid or CTM files, or a dataset, as utterance id -> words with times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import Dataset, open_run
from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.alignment.textgrid import Timed, ctm_words, decoded, textgrid_words

SILENCES = {"", "sil", "sp", "<sil>", "<eps>", "<p:>"}
UNKNOWN = {"<unk>", "spn", "[unk]", "<spn>"}  # labels of MFA and Kaldi for words outside of their dictionary

Words = list[Timed]


def read_references(path: str) -> dict[str, Words]:
    """Words of each utterance of the reference, in the order of time, without silences.

    Args:
        path: a `.TextGrid` or `.ctm` file; a folder with such files at any depth; a `words` or `utterances` dataset; or
            a run folder: its `utterances` with the word times of the corpus. The name of a TextGrid below the folder,
            without its suffix, is the id; of a CTM file, the first field of a line.

    Raises:
        ConfigError: nothing of this kind there.
        BadInput: `bad_word_times`: an unreadable file, or a word that ends before it starts; `duplicate_id`.
    """
    dataset = _dataset(path)
    found = _of_dataset(dataset) if dataset is not None else _of_files(path)
    words = {id: [word for word in timed if word.text.lower() not in SILENCES] for id, timed in found.items()}
    for id, timed in words.items():
        for word in timed:
            if not (math.isfinite(word.start) and math.isfinite(word.end) and word.start <= word.end):
                raise BadInput(
                    "bad_word_times",
                    f"{path}: {id!r}: the word {word.text!r} lasts from {word.start:g} to {word.end:g} s; correct it",
                )
    if not any(words.values()):
        raise ConfigError(
            f"{path} has no word times; give a folder of .TextGrid or .ctm files, a words dataset, or a run with word "
            "times of its corpus"
        )
    return words


def matched_ids(ids: Sequence[str], names: Mapping[str, Any]) -> dict[str, str]:
    """Utterance id -> name in the reference: the same name, else the same last part of the path, if it is unique.

    Args:
        ids: of the utterances.
        names: of the reference.
    """
    by_last: dict[str, list[str]] = {}
    for name in names:
        by_last.setdefault(_last(name), []).append(name)
    found = {}
    for id in ids:
        same = [id] if id in names else by_last.get(_last(id), [])
        if len(same) == 1:
            found[id] = same[0]
    return found


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _dataset(path: str) -> Dataset | None:
    """The dataset of a folder: itself, or the utterances of a run folder; None for a folder of files."""
    if not storage.is_dir(path):
        return None
    recorded = manifest.find(path)
    if recorded is not None and recorded.kind not in ("words", "utterances"):
        raise ConfigError(f"{path} holds {recorded.kind!r}; a reference is of kind 'words' or 'utterances'")
    run = open_run(path)
    return run.get("utterances") if recorded is None else run[recorded.kind]


def _of_dataset(dataset: Dataset) -> dict[str, Words]:
    return {
        row["id"]: [Timed(word["text"], word["start"], word["end"]) for word in row["words"]]
        for row in dataset.records(["id", "words"])
        if row["words"]
    }


def _below(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name below the folder, URI) of all files at any depth, sorted in each folder."""
    for name in sorted(storage.sizes(folder)):
        yield prefix + name, storage.join(folder, name)
    for name in storage.folders(folder):
        yield from _below(storage.join(folder, name), f"{prefix}{name}/")


def _of_files(path: str) -> dict[str, Words]:
    if storage.is_dir(path):
        files = dict(_below(path))
    elif storage.exists(path):
        files = {_last(path): path}
    else:
        raise ConfigError(f"{path}: no such file or folder; name a folder of .TextGrid or .ctm files, or a dataset")
    words: dict[str, Words] = {}
    for name, uri in files.items():
        suffix = name.rpartition(".")[2].lower()
        if suffix not in ("textgrid", "ctm"):
            continue
        text = decoded(storage.read_bytes(uri), uri)
        stem = name[: -len(suffix) - 1]
        timed = {stem: textgrid_words(text, uri)} if suffix == "textgrid" else ctm_words(text, uri)
        for id, of_id in timed.items():
            if id in words:
                raise BadInput("duplicate_id", f"{uri}: {id!r} has word times in another file too; keep one")
            words[id] = of_id
    return words
