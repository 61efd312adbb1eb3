"""Choice of the token rows in the report, and the tokens of a row with their text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechprep.artifacts.run import Dataset, Run
from speechprep.errors import SpeechprepError
from speechprep.tokenizers.arrays.keyed_random import digest

if TYPE_CHECKING:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

KINDS = ("ast", "cst_ut", "cst_tu")
MOST = 240  # tokens of a row on the page
_FEW = 24  # a shorter row shows little
_SPANS = 3  # an AST row with more spans shows the switches


@dataclass
class Part:
    """Neighbouring tokens of one modality.

    Attributes:
        modality: "unit", "text" or "switch".
        tokens: text of each token.
        times: (start, end) in seconds; None for switches.
        words: the words of a part of units.
    """

    modality: str
    tokens: list[str] = field(default_factory=list)
    times: tuple[float, float] | None = None
    words: str = ""


@dataclass(frozen=True)
class TokenRow:
    """A row of `tokens` in parts; `hidden` tokens at its end are left out."""

    kind: str
    id: str
    parts: list[Part]
    tokens: int
    hidden: int


def choose_rows(run: Run) -> list[TokenRow]:
    """One row of each kind of `KINDS` in the run: of medium length with both modalities, by the hash of its id."""
    tokens = run.get("tokens")
    if tokens is None:
        return []
    vocabulary = _vocabulary(run)
    rows = []
    for kind, (_, ident, shard) in sorted(_best(tokens).items(), key=lambda entry: KINDS.index(entry[0])):
        row = _find(tokens, ident, kind, shard)
        if row is not None:
            words = run["words"].find(ident, shard) if "words" in run else None
            rows.append(_parts(row, vocabulary, [word["text"] for word in (words or {}).get("words") or []]))
    return rows


def _best(tokens: Dataset) -> dict[str, tuple[tuple[int, bytes], str, str]]:
    """Kind -> (rank, id, shard) of the chosen row."""
    best: dict[str, tuple[tuple[int, bytes], str, str]] = {}
    for shard in tokens.shards:
        for batch in tokens.batches(["id", "kind", "runs.list.element.modality", "runs.list.element.stop"], shard):
            columns = (batch.column(name).to_pylist() for name in ("id", "kind", "runs"))
            for ident, kind, runs in zip(*columns, strict=True):
                if kind not in KINDS or not runs:
                    continue
                medium = _FEW <= runs[-1]["stop"] <= MOST
                spans = min(len({run["modality"] for run in runs}) + (len(runs) > _SPANS), 3)
                rank = (4 - medium - spans, digest(ident))
                if kind not in best or rank < best[kind][0]:
                    best[kind] = (rank, ident, shard)
    return best


def _find(tokens: Dataset, ident: str, kind: str, shard: str) -> dict[str, Any] | None:
    for batch in tokens.batches(shard=shard):
        for i, (name, of_kind) in enumerate(
            zip(batch.column("id").to_pylist(), batch.column("kind").to_pylist(), strict=True)
        ):
            if name == ident and of_kind == kind:
                row: dict[str, Any] = batch.slice(i, 1).to_pylist()[0]
                return row
    return None


def _vocabulary(run: Run) -> Vocabulary | None:
    """The vocabulary in the folder of the run; None for a run with the vocabulary of another run."""
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

    folder = run.get("subword")
    if folder is None:
        return None
    try:
        with tempfile.TemporaryDirectory() as local:
            return Vocabulary.load(folder.path(Path(local)))
    except (SpeechprepError, OSError):
        return None


def _parts(row: dict[str, Any], vocabulary: Vocabulary | None, words: list[str]) -> TokenRow:
    ids = row["input_ids"]
    parts = []
    for modality, start, stop, run in _ranges(row["runs"], len(ids)):
        shown = ids[start : min(stop, MOST)]
        if not shown:
            break
        part = Part(modality, [_token(ident, modality, vocabulary) for ident in shown])
        if run is not None:
            part.times = (run["t0"], run["t1"])
            if modality == "unit":
                part.words = " ".join(words[run["word_start"] : run["word_stop"]])
        parts.append(part)
    return TokenRow(row["kind"], row["id"], parts, len(ids), max(len(ids) - MOST, 0))


def _ranges(runs: list[dict[str, Any]], length: int) -> Iterator[tuple[str, int, int, dict[str, Any] | None]]:
    """(modality, start, stop, run) over all tokens; tokens outside of the runs are switches."""
    place = 0
    for run in sorted(runs, key=lambda run: int(run["start"])):
        if run["start"] > place:
            yield "switch", place, run["start"], None
        yield run["modality"], max(run["start"], place), run["stop"], run
        place = max(run["stop"], place)
    if place < length:
        yield "switch", place, length, None


def _token(ident: int, modality: str, vocabulary: Vocabulary | None) -> str:
    """Text of a token: the piece of a text token, the units of a unit token, the name of a marker; else its id."""
    import numpy as np

    if vocabulary is None or not 0 <= ident < vocabulary.size:
        return f"#{ident}"
    if modality == "unit":
        try:
            return " ".join(map(str, vocabulary.decode_units(np.array([ident])).tolist())) or f"#{ident}"
        except (SpeechprepError, ValueError):
            return f"#{ident}"
    return vocabulary.tokens[ident].replace(" ", "\u2581")
