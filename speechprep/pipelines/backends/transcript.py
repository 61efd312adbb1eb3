"""Transcripts with word times: the result of an aligner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Timing = Literal["aligned", "interpolated", "given"]


@dataclass(frozen=True, slots=True)
class Word:
    """A written word with its time in seconds from the start of the utterance."""

    text: str
    start: float
    end: float
    score: float | None
    timing: Timing


@dataclass(frozen=True, slots=True)
class Transcript:
    """Text with word times.

    Attributes:
        text: the aligned text, given or recognised.
        words: its words, in order.
        language: code ("en") if the aligner detected the language; None otherwise.
        language_probability: probability of the detected language.
    """

    text: str
    words: list[Word]
    language: str | None = None
    language_probability: float | None = None
