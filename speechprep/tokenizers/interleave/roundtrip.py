"""Whether a row of `tokens` decodes to exactly what it was made of: the check behind `speechprep verify`."""

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
    """The first difference between a decoded row and what it was made of; None where there is none.

    Args:
        row: of `tokens`.
        words: {text, start, end} of the utterance's words; None where it has none.
        units: of each frame; None where there are none.
        vocab, grid: that it was made with.
    """
    try:
        segments = decode_row(row, vocab, grid)
    except SpeechprepError as error:
        return str(error)
    frames = np.asarray(units if units is not None else [], np.int64)
    given = words or []
    times = [(w["start"], w["end"]) for w in given[: len(row["word_t0"])]]
    if times != list(zip(row["word_t0"], row["word_t1"], strict=True)):
        return "the times of its words are not those in words"
    if len(row["word_t0"]) not in (0, len(given)):
        return f"{len(row['word_t0'])} word times for {len(given)} words"
    for segment in segments:
        wrong = _wrong_text(segment, given) if segment.modality == "text" else _wrong_units(segment, frames)
        if wrong:
            return wrong
    return _wrong_cover(row, segments, len(row["word_t0"]), len(frames)) or _wrong_markers(row, segments, vocab)


def _wrong_text(segment: Segment, given: list[Any]) -> str | None:
    for word, truth in zip(segment.words, given[segment.word_start : segment.word_stop], strict=True):
        if (word.text, word.start, word.end) != (truth["text"], truth["start"], truth["end"]):
            return f"word {word.text!r} at {word.start:g} s, made of {truth['text']!r} at {truth['start']:g} s"
    return None


def _wrong_units(segment: Segment, frames: NDArray[np.int64]) -> str | None:
    own = frames[segment.first_frame : segment.first_frame + len(segment.frames)]
    if not np.array_equal(own, segment.frames) or not np.array_equal(dedup(own)[0], segment.units):
        return f"units from frame {segment.first_frame} on are not those in units"
    at = [frame for word in segment.words for frame in word.frames or ()]
    if at and (at[1:-1:2] != at[2::2] or at[-1] != segment.first_frame + len(own)):
        return f"the words from frame {segment.first_frame} on leave frames out"
    return None


def _wrong_cover(row: Mapping[str, Any], segments: list[Segment], n_words: int, n_frames: int) -> str | None:
    """Whole utterances are whole, and the spans of an ast row are all its words, each once."""
    if row["kind"] != "ast":
        for s in segments:
            if (s.word_start, s.word_stop) != (0, n_words) or (s.modality == "unit" and len(s.frames) != n_frames):
                return "a span is not the whole utterance"
        return None
    edges = [0, *(s.word_stop for s in segments)]
    if [s.word_start for s in segments] != edges[:-1] or edges[-1] != n_words:
        return "its spans are not all its words, each once"
    if segments[-1].modality == "unit" and segments[-1].first_frame + len(segments[-1].frames) != n_frames:
        return "its last span does not reach the end"
    return None


def _wrong_markers(row: Mapping[str, Any], segments: list[Segment], vocab: Vocabulary) -> str | None:
    start, end = {"unit": vocab.u_start, "text": vocab.t_start}, {"unit": vocab.u_end, "text": vocab.t_end}
    switch = {"unit": vocab.t2u, "text": vocab.u2t}
    wanted: list[int] = []
    for i, segment in enumerate(segments):
        joined = row["kind"] == "ast"
        wanted.append(switch[segment.modality] if joined and i else start[segment.modality])
        wanted += row["input_ids"][segment.start : segment.stop]
        if not joined or i == len(segments) - 1:
            wanted.append(end[segment.modality])
    return None if wanted == row["input_ids"] else "its marker tokens are not those of its spans"
