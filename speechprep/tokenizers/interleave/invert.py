"""Decoding of token rows into words, units and times: the exact inverse of interleaving.

`decode_row` decodes a row of `tokens` without other inputs. Words come from the text tokens, frames from the unit
tokens and `durations`, times from `runs` and `word_t0`/`word_t1`. `parse_document` decodes the bare token ids of a
packed row into spans, words and deduplicated units, without times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import BadInput
from speechprep.tokenizers.arrays.runlength import expand
from speechprep.tokenizers.interleave.spans import span_table

if TYPE_CHECKING:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """A word of a segment, with its times.

    Attributes:
        text: the written word; None in a unit segment, because its row does not store the spelling.
        start, end: seconds from the start of the utterance.
        frames: frames [first, last) of the word in the utterance; None in a text segment.
    """

    text: str | None
    start: float
    end: float
    frames: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Segment:
    """One decoded span of a row.

    Attributes:
        modality: "unit" or "text".
        start, stop: tokens [start, stop) in `input_ids`, without markers.
        word_start, word_stop: words [word_start, word_stop) of the utterance.
        words: the words with their times; empty if the utterance has no words.
        t0, t1: start and end of the span, seconds.
        units, durations: deduplicated units (m,), and the frames of each (m,); empty for text.
        frames: (n,) unit of each frame; empty for text.
        first_frame: number of the first frame in the utterance.
    """

    modality: str
    start: int
    stop: int
    word_start: int
    word_stop: int
    words: list[PlacedWord]
    t0: float
    t1: float
    units: NDArray[np.unsignedinteger]
    durations: NDArray[np.uint16]
    frames: NDArray[np.unsignedinteger]
    first_frame: int

    @property
    def text(self) -> str:
        """The words of a text segment, joined by spaces."""
        return " ".join(word.text or "" for word in self.words)


def decode_row(row: Mapping[str, Any], vocab: Vocabulary, grid: FrameGrid) -> list[Segment]:
    """Segments of a row of `tokens`, in row order.

    Args:
        row: a row with the columns of the schema `TOKENS`.
        vocab: the joint vocabulary of the row.
        grid: the frame grid of its units.

    Raises:
        BadInput: `row_inconsistent`: tokens, durations and spans of the row do not match.
    """
    ids = np.asarray(row["input_ids"], np.int32)
    durations = np.asarray(row["durations"], np.uint16)
    t0, t1 = np.asarray(row["word_t0"], np.float64), np.asarray(row["word_t1"], np.float64)
    segments, used = [], 0
    for run in row["runs"]:
        if run["modality"] == "text":
            segments.append(_text_segment(row["id"], run, vocab, ids, t0, t1))
        else:
            units = vocab.decode_units(ids[run["start"] : run["stop"]])
            unit_durations = durations[used : used + len(units)]
            used += len(units)
            segments.append(_unit_segment(row["id"], run, units, unit_durations, t0, t1, grid))
    if used != len(durations):
        raise _inconsistent(row["id"], f"{len(durations)} durations for {used} units")
    return segments


def _text_segment(
    id: str, run: Mapping[str, Any], vocab: Vocabulary, ids: NDArray[np.int32], t0: Any, t1: Any
) -> Segment:
    a, b = run["word_start"], run["word_stop"]
    texts = vocab.decode_text(ids[run["start"] : run["stop"]]).split()
    if len(texts) != b - a:
        raise _inconsistent(id, f"words {a}..{b} decode to {len(texts)} words")
    words = [PlacedWord(text, float(t0[j]), float(t1[j]), None) for j, text in enumerate(texts, a)]
    none = np.zeros(0, np.uint16)
    return Segment("text", run["start"], run["stop"], a, b, words, run["t0"], run["t1"], none, none, none, 0)


def _unit_segment(
    id: str,
    run: Mapping[str, Any],
    units: NDArray[np.unsignedinteger],
    durations: NDArray[np.uint16],
    t0: NDArray[np.float64],
    t1: NDArray[np.float64],
    grid: FrameGrid,
) -> Segment:
    if len(durations) != len(units):
        raise _inconsistent(id, f"{len(units)} units, but {len(durations)} remaining durations")
    a, b = run["word_start"], run["word_stop"]
    frames = expand(units, durations)
    first = round(run["t0"] * grid.rate)
    last = round(run["t1"] * grid.rate)
    if last - first != len(frames):
        raise _inconsistent(id, f"{len(frames)} frames between {run['t0']:g} s and {run['t1']:g} s")
    words = []
    if b > a:
        # Earlier words are needed because a start is raised to the latest start before it. Later frames have no effect.
        table = span_table(t0[:b], np.array([0, b]), np.array([last]), grid)
        starts, stops = table.starts[a:b], table.stops[a:b]
        words = [
            PlacedWord(None, float(t0[j]), float(t1[j]), (int(starts[j - a]), int(stops[j - a]))) for j in range(a, b)
        ]
    return Segment(
        "unit", run["start"], run["stop"], a, b, words, run["t0"], run["t1"], units, durations, frames, first
    )


def _inconsistent(id: str, problem: str) -> BadInput:
    return BadInput("row_inconsistent", f"{id}: {problem}; use the vocabulary and the frame grid of this row")


@dataclass(frozen=True, slots=True)
class Part:
    """A span of bare tokens: modality "text" with words, or "unit" with deduplicated units (m,)."""

    modality: str
    words: list[str]
    units: NDArray[np.unsignedinteger]


def parse_document(ids: NDArray[np.integer[Any]], vocab: Vocabulary, *, begins: bool = True) -> list[Part]:
    """Spans of a document, found by its marker tokens.

    Args:
        ids: (n,) tokens of the document.
        vocab: the joint vocabulary.
        begins: False for a document continued from an earlier packed row: its first span has no start token.

    Raises:
        BadInput: `row_inconsistent`: a token outside all spans, or of the wrong modality.
    """
    modality = vocab.token_modality[ids]
    markers = {vocab.u_start: "unit", vocab.t2u: "unit", vocab.t_start: "text", vocab.u2t: "text"}
    edges = np.flatnonzero(np.isin(ids, [*markers, vocab.u_end, vocab.t_end]))
    parts = []
    if not begins and (not len(edges) or edges[0] > 0):
        stop = int(edges[0]) if len(edges) else len(ids)
        kind = "text" if vocab.text_offset <= ids[0] < vocab.text_offset + vocab.text_size else "unit"
        parts.append(_part(kind, ids[:stop], vocab))
    elif begins and len(ids) and (not len(edges) or edges[0] > 0):
        raise BadInput(
            "row_inconsistent",
            f"token {int(ids[0])} of modality {int(modality[0])} before the first start token; set begins=False",
        )
    for i, at in enumerate(edges):
        stop = int(edges[i + 1]) if i + 1 < len(edges) else len(ids)
        opens = markers.get(int(ids[at]))
        if opens is not None:
            parts.append(_part(opens, ids[at + 1 : stop], vocab))
        elif stop > at + 1:
            raise BadInput(
                "row_inconsistent", f"token {int(ids[at + 1])} after an end token; use the vocabulary of this row"
            )
    return parts


def _part(kind: str, ids: NDArray[np.integer[Any]], vocab: Vocabulary) -> Part:
    low, size = (vocab.text_offset, vocab.text_size) if kind == "text" else (vocab.unit_offset, vocab.unit_size)
    stray = ids[(ids < low) | (ids >= low + size)]
    if len(stray):
        raise BadInput("row_inconsistent", f"token {int(stray[0])} in a span of {kind}; use the vocabulary of this row")
    if kind == "text":
        return Part(kind, vocab.decode_text(ids).split(), np.zeros(0, np.uint16))
    return Part(kind, [], vocab.decode_units(ids))


def split_packed(row: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """(document id "<utterance id>#<kind>", its tokens in this packed row), in order, without padding."""
    ids = np.asarray(row["input_ids"], np.int32)
    documents = np.asarray(row["document_ids"], np.int32)
    cuts = np.flatnonzero(np.diff(documents, prepend=-2))
    for begin, end in zip(cuts, np.append(cuts[1:], len(ids)), strict=True):
        if documents[begin] >= 0:
            yield row["ids"][documents[begin]], ids[begin:end]


def split_document_id(document: str) -> tuple[str, str]:
    """ "<utterance id>#<kind>" -> utterance id and kind."""
    id, _, kind = document.rpartition("#")
    return id, kind
