"""What DMLM is trained on: units, transcripts, translations and image codes of runs, joined by id, in memory.

Memory is that of the codes: a thousand hours of units at 50 Hz are 360 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest, shards, storage
from speechprep.errors import StaleArtifact
from speechprep.models.dmlm.text import Text
from speechprep.tokenizers.ragged import Ints, offsets_of
from speechprep.tokenizers.runlength import dedup_ragged


@dataclass(frozen=True)
class Items:
    """Sequences by id: those of `ids[i]` are flat[offsets[i] : offsets[i + 1]]."""

    ids: list[str]
    flat: NDArray[Any]
    offsets: Ints

    def __getitem__(self, i: int) -> NDArray[Any]:
        """Sequence number i."""
        return self.flat[self.offsets[i] : self.offsets[i + 1]]

    @classmethod
    def of(cls, ids: Sequence[str], parts: Sequence[NDArray[Any]], dtype: Any) -> Items:
        """From a list of arrays."""
        flat = np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)
        return cls(list(ids), flat, offsets_of(np.array([len(part) for part in parts], np.int64)))


@dataclass(frozen=True)
class Corpus:
    """All there is, by modality. `transcripts`, `captions` and each of `translations` are text ids.

    Attributes:
        speech: units; `k` of them there are, of the codebook with the content fingerprint `codebook`.
        images: codes, in the same way.
        translations: by language.
        facts: content fingerprints of all that was read.
    """

    speech: Items
    transcripts: Items
    images: Items
    captions: Items
    translations: dict[str, Items]
    k: int
    codebook: str
    n_image: int
    image_codes: str
    facts: list[str]


def load(
    runs: Sequence[str],
    text: Text,
    *,
    split: str | None = None,
    dedup: bool = False,
    translations: Mapping[str, str] | None = None,
) -> Corpus:
    """Read runs.

    Args:
        runs: folders with `units`, and `utterances` or `words` for transcripts; or with `image_codes`.
        text: the tokenizer.
        split: only utterances of this split.
        dedup: drop repeats of a unit.
        translations: language -> JSONL file of {"id", "text"}.

    Raises:
        StaleArtifact: units of different codebooks, or nothing to read.
    """
    units: dict[str, NDArray[Any]] = {}
    texts: dict[str, str] = {}
    images: dict[str, NDArray[Any]] = {}
    captions: list[tuple[str, str]] = []
    facts, books, codes, sizes = [], {}, {}, {}
    for run in runs:
        chosen = _split(run, split)
        for kind in ("units", "utterances", "words", "image_codes"):
            made = manifest.find(storage.join(run, kind))
            if made is not None:
                facts.append(made.content)
        about = manifest.find(storage.join(run, "units"))
        if about is not None:
            books[about.extra.get("codebook", about.extra["k"])] = run
            sizes["k"] = about.extra["k"]
            for row in _rows(run, "units", ("id", "units")):
                _put(units, row["id"], row["units"], chosen, run)
            texts |= {id: t for id, t in transcripts(run).items() if chosen is None or id in chosen}
        about = manifest.find(storage.join(run, "image_codes"))
        if about is not None:
            codes[manifest.digest(about.extra["codec"])] = run
            sizes["image"] = about.extra["vocab"]
            for row in _rows(run, "image_codes", ("id", "codes", "captions", "split")):
                if split is not None and row["split"] != split:
                    continue
                _put(images, row["id"], row["codes"], None, run)
                captions += [(row["id"], caption) for caption in row["captions"] or []]
    for name, found in (("units", books), ("image codes", codes)):
        if len(found) > 1:
            (a, run_a), (b, run_b) = list(found.items())[:2]
            raise StaleArtifact(f"{name} of {run_a} are of codebook {str(a)[:12]}, those of {run_b} of {str(b)[:12]}")
    if not (units or images):
        raise StaleArtifact(
            f"{', '.join(runs)}: no units and no image_codes" + (f" in split {split!r}" if split else "")
        )
    speech = Items.of(list(units), list(units.values()), np.int32)
    if dedup:
        flat, _, offsets = dedup_ragged(speech.flat, speech.offsets)
        speech = Items(speech.ids, flat, offsets)
    other = {language: _jsonl(path) for language, path in (translations or {}).items()}
    return Corpus(
        speech=speech,
        transcripts=_encoded(list(texts.items()), text),
        images=Items.of(list(images), list(images.values()), np.int32),
        captions=_encoded(captions, text),
        translations={language: _encoded(list(found.items()), text) for language, found in other.items()},
        k=sizes.get("k", 0),
        codebook=str(next(iter(books), "")),
        n_image=sizes.get("image", 0),
        image_codes=str(next(iter(codes), "")),
        facts=facts,
    )


def _put(into: dict[str, Any], id: str, values: list[int], chosen: set[str] | None, run: str) -> None:
    if chosen is not None and id not in chosen:
        return
    if id in into:
        raise StaleArtifact(f"{run}: id {id!r} is in another run too; ids must differ")
    into[id] = np.asarray(values, np.int32)


def _encoded(pairs: list[tuple[str, str]], text: Text) -> Items:
    flat, offsets = text.encode([t for _, t in pairs])
    return Items([id for id, _ in pairs], flat, offsets)


def _split(run: str, split: str | None) -> set[str] | None:
    if split is None:
        return None
    return {row["id"] for row in _rows(run, "utterances", ("id", "split")) if row["split"] == split}


def transcripts(run: str) -> dict[str, str]:
    """Text by id: as it came with the corpus, else as it was aligned."""
    found: dict[str, str] = {}
    for kind, columns in (("words", ("id", "text")), ("utterances", ("id", "text"))):
        if manifest.find(storage.join(run, kind)) is not None:
            found |= {row["id"]: row["text"] for row in _rows(run, kind, columns) if row["text"]}
    return found


def _rows(run: str, kind: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    folder = storage.join(run, kind)
    for shard in manifest.read(folder).shards:
        for batch in shards.read_batches(storage.join(folder, shard.name), columns, 1024):
            yield from batch.to_pylist()


def _jsonl(path: str) -> dict[str, str]:
    with Path(path).open(encoding="utf-8") as f:
        return {row["id"]: row["text"] for row in map(json.loads, f)}
