"""Round-trip check of token rows: decodes a row and compares it with its source. `speechprep verify` uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import SpeechprepError
from speechprep.tokenizers.arrays.runlength import dedup
from speechprep.tokenizers.interleave.invert import Segment, decode_row

if TYPE_CHECKING:
    from speechprep.tokenizers.subword.vocabulary import Vocabulary


def mismatch(
    row: Mapping[str, Any], words: list[Any] | None, units: list[int] | None, vocab: Vocabulary, grid: FrameGrid
) -> str | None:
    """The first difference between a decoded row and its source; None if they are equal.

    Args:
        row: a row with the columns of the schema `TOKENS`.
        words: {text, start, end} of each word of the utterance; None without words.
        units: unit of each frame of the utterance; None without units.
        vocab: the joint vocabulary of the row.
        grid: the frame grid of its units.
    """
    try:
        segments = decode_row(row, vocab, grid)
    except SpeechprepError as error:
        return str(error)
    frames = np.asarray(units if units is not None else [], np.int64)
    source_words = words or []
    times = [(w["start"], w["end"]) for w in source_words[: len(row["word_t0"])]]
    if times != list(zip(row["word_t0"], row["word_t1"], strict=True)):
        return "its word times differ from `words`"
    if len(row["word_t0"]) not in (0, len(source_words)):
        return f"{len(row['word_t0'])} word times for {len(source_words)} words"
    for segment in segments:
        text = segment.modality == "text"
        difference = _text_difference(segment, source_words) if text else _unit_difference(segment, frames)
        if difference:
            return difference
    return _coverage_difference(row, segments, len(row["word_t0"]), len(frames)) or _marker_difference(
        row, segments, vocab
    )


def _text_difference(segment: Segment, source_words: list[Any]) -> str | None:
    for word, truth in zip(segment.words, source_words[segment.word_start : segment.word_stop], strict=True):
        if (word.text, word.start, word.end) != (truth["text"], truth["start"], truth["end"]):
            return (
                f"word {word.text!r} at {word.start:g} s, but the source has {truth['text']!r} at {truth['start']:g} s"
            )
    return None


def _unit_difference(segment: Segment, frames: NDArray[np.int64]) -> str | None:
    source = frames[segment.first_frame : segment.first_frame + len(segment.frames)]
    if not np.array_equal(source, segment.frames) or not np.array_equal(dedup(source)[0], segment.units):
        return f"units from frame {segment.first_frame} on differ from `units`"
    at = [frame for word in segment.words for frame in word.frames or ()]
    if at and (at[1:-1:2] != at[2::2] or at[-1] != segment.first_frame + len(source)):
        return f"the words from frame {segment.first_frame} on do not cover all frames"
    return None


def _coverage_difference(row: Mapping[str, Any], segments: list[Segment], n_words: int, n_frames: int) -> str | None:
    """A difference in coverage: rows of whole utterances cover it, and the spans of an AST row cover each word once."""
    if row["kind"] != "ast":
        for s in segments:
            if (s.word_start, s.word_stop) != (0, n_words) or (s.modality == "unit" and len(s.frames) != n_frames):
                return "a span is not the whole utterance"
        return None
    edges = [0, *(s.word_stop for s in segments)]
    if [s.word_start for s in segments] != edges[:-1] or edges[-1] != n_words:
        return "its spans do not contain all words, each exactly once"
    if segments[-1].modality == "unit" and segments[-1].first_frame + len(segments[-1].frames) != n_frames:
        return "its last span does not reach the end"
    return None


def _marker_difference(row: Mapping[str, Any], segments: list[Segment], vocab: Vocabulary) -> str | None:
    start, end = {"unit": vocab.u_start, "text": vocab.t_start}, {"unit": vocab.u_end, "text": vocab.t_end}
    switch = {"unit": vocab.t2u, "text": vocab.u2t}
    expected: list[int] = []
    for i, segment in enumerate(segments):
        joined = row["kind"] == "ast"
        expected.append(switch[segment.modality] if joined and i else start[segment.modality])
        expected += row["input_ids"][segment.start : segment.stop]
        if not joined or i == len(segments) - 1:
            expected.append(end[segment.modality])
    return None if expected == row["input_ids"] else "its marker tokens do not match its spans"
