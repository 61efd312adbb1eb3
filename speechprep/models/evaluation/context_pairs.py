"""Pairs of a context and its continuation, as units and as text, for CRA and PELM.

An utterance is cut at the word boundary nearest to its middle in time. Units are cut at frame level, and each half is
deduplicated separately. A run of one unit across the cut belongs to the context, and the continuation begins with the
next unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.run import open_run
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.tokenizers.arrays.runlength import dedup
from speechprep.tokenizers.interleave.spans import span_table
from speechprep.tokenizers.subword.vocabulary import Vocabulary

JOINS = ("ast", "cst")
DIRECTIONS = ("u2u", "t2t", "u2t", "t2u")
FOLDS = ("none", "lower", "upper")
_COLUMNS = {
    "utterances": ["id", "speaker", "split", "corpus", "audio"],
    "words": ["id", "words", "kept"],
    "units": ["id", "units"],
}


@dataclass(frozen=True, slots=True)
class Half:
    """One half of an utterance.

    Attributes:
        units, text: (n,) token ids of its units, and (m,) of its text.
        words: its text.
    """

    units: NDArray[np.int32]
    text: NDArray[np.int32]
    words: str


@dataclass(frozen=True, slots=True)
class Pair:
    """An utterance in two halves. `speaker`, `corpus` and `recording` are "" if unknown."""

    id: str
    speaker: str
    context: Half
    continuation: Half
    corpus: str = ""
    recording: str = ""


def load_pairs(
    run: str,
    vocab: Vocabulary,
    *,
    min_words: int = 20,
    split: str | None = None,
    codebook: str = "",
    fold: str = "none",
) -> list[Pair]:
    """Pairs of the utterances of a run, sorted by id.

    Args:
        run: folder with `utterances`, `words` and `units`.
        vocab: the vocabulary of the evaluated model.
        min_words: length of the shortest utterance, in words.
        split: only utterances of this split.
        codebook: content fingerprint of the codebook of the model's units; "" if unknown.
        fold: one of `FOLDS`, see `folded`.

    Raises:
        ConfigError: an unknown fold.
        StaleArtifact: units of another codebook than in training, or no suitable utterance.
    """
    if fold not in FOLDS:
        raise ConfigError(f"fold {fold!r} is unknown; set one of {', '.join(FOLDS)}")
    opened = open_run(run)
    metadata = opened["units"].extra
    if metadata["k"] != vocab.k:
        raise StaleArtifact(
            f"the vocabulary has {vocab.k} units, the codebook of {run} has {metadata['k']}; use a run with the "
            "codebook of the model"
        )
    if codebook and metadata.get("codebook", codebook) != codebook:
        raise StaleArtifact(
            f"the model was trained on units of codebook {codebook[:12]}, {run} has units of codebook "
            f"{metadata['codebook'][:12]}; use a run with the codebook of the model"
        )
    grid = FrameGrid(**metadata["grid"])
    utterances = {row["id"]: row for row in opened["utterances"].records(_COLUMNS["utterances"])}
    spoken = {row["id"]: row["words"] for row in opened["words"].records(_COLUMNS["words"]) if row["kept"] is not False}
    pairs = []
    for row in opened["units"].records(_COLUMNS["units"]):
        words, utterance = spoken.get(row["id"]) or [], utterances.get(row["id"], {})
        if len(words) < max(min_words, 2) or (split is not None and utterance.get("split") != split):
            continue
        written = [folded(word["text"], fold) for word in words]
        halves = _cut([word["start"] for word in words], written, np.asarray(row["units"]), vocab, grid)
        if halves is not None:
            facts = [utterance.get(name) or "" for name in ("speaker", "corpus", "audio")]
            pairs.append(Pair(row["id"], facts[0], *halves, corpus=facts[1], recording=facts[2]))
    if not pairs:
        where = f" in split {split!r}" if split else ""
        raise StaleArtifact(f"{run} has no utterance with at least {min_words} words{where}; lower min_words")
    return sorted(pairs, key=lambda pair: pair.id)


def folded(text: str, fold: str) -> str:
    """Text in one case without punctuation; apostrophes stay. "none" leaves it unchanged.

    Args:
        text: any text.
        fold: "none", "lower" or "upper".
    """
    if fold == "none":
        return text
    plain = "".join(c if c.isalnum() or c in "'\u2019" or c.isspace() else " " for c in text)
    plain = " ".join(plain.split())
    return plain.lower() if fold == "lower" else plain.upper()


def _cut(
    times: list[float], words: list[str], units: NDArray[Any], vocab: Vocabulary, grid: FrameGrid
) -> tuple[Half, Half] | None:
    starts = np.array(times, np.float64)
    if not np.isfinite(starts).all():
        return None
    frames = span_table(starts, np.array([0, len(words)]), np.array([len(units)]), grid).starts
    at = 1 + int(np.argmin(np.abs(frames[1:] - len(units) / 2)))
    before, after = dedup(units[: frames[at]])[0], dedup(units[frames[at] :])[0]
    if len(before) and len(after) and before[-1] == after[0]:
        after = after[1:]
    texts = [" ".join(word for word in part if word) for part in (words[:at], words[at:])]
    if not (len(before) and len(after) and all(texts)):
        return None
    return _half(before, texts[0], vocab), _half(after, texts[1], vocab)


def _half(units: NDArray[Any], text: str, vocab: Vocabulary) -> Half:
    ids, _ = vocab.encode_units(units, np.array([0, len(units)]))
    pieces, _ = vocab.encode_texts([" " + text])
    return Half(ids, pieces, text)


def prompt(half: Half, direction: str, join: str, markers: dict[str, int]) -> list[int]:
    """Prompt tokens of a context, up to the first token of its continuation.

    Args:
        half: the context.
        direction: "u2u", "t2t", "u2t" or "t2u".
        join: tokens between two modalities: "ast" writes a switch token, "cst" the end and begin tokens.
        markers: ids of the marker tokens, see `SutlmConfig`.

    Raises:
        ConfigError: an unknown join.
    """
    if join not in JOINS:
        raise ConfigError(f"join {join!r} is unknown; set one of {', '.join(JOINS)}")

    source, target = direction[0], direction[2]
    body = (half.units if source == "u" else half.text).tolist()
    switch: list[int] = []
    if source != target:
        names = [f"{source}2{target}"] if join == "ast" else [f"{source}_end", f"{target}_start"]
        switch = [markers[name] for name in names]
    return [markers[f"{source}_start"], *body, *switch]
