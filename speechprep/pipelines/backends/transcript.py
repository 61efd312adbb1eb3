"""Passages, the result of a recogniser, and transcripts with word times, the result of an aligner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Timing = Literal["aligned", "interpolated", "given"]


class Interval(NamedTuple):
    """Intervals of the two borders of a word, in the unit of their times; 90 % of true borders are inside."""

    start_low: float
    start_high: float
    end_low: float
    end_high: float

    def scaled(self, factor: float, shift: float, limit: float) -> Interval:
        """Each time multiplied by a factor, then later by `shift`, in [0, limit]."""
        return Interval(*(min(max(time * factor + shift, 0.0), limit) for time in self))


@dataclass(frozen=True, slots=True)
class Word:
    """A written word with its time in seconds from the start of the utterance.

    `interval`: of its borders; None if the aligner gives none.
    """

    text: str
    start: float
    end: float
    score: float | None
    timing: Timing
    interval: Interval | None = None

    def later(self, seconds: float) -> Word:
        """The word with later times."""
        interval = self.interval and self.interval.scaled(1.0, seconds, math.inf)
        return replace(self, start=self.start + seconds, end=self.end + seconds, interval=interval)


class Language(NamedTuple):
    """A language code ("en") and its probability.

    Attributes:
        code: the code.
        probability: None without detection: for a language from the options, and in a model for one language.
        given: the language comes from the options.
    """

    code: str
    probability: float | None
    given: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """Recognised speech in a part of a recording.

    Attributes:
        start, end: seconds from the start of the recording.
        audio: (samples,) float32, the part.
        text: the recognised text.
        language: of the recording.
        no_speech_probability: probability of the recogniser that there is no speech; None without one.
        log_probability: mean log-probability of a token of the text, in nats; None without one.
        margin: seconds of `wide` before `start`.
        wide: (samples,) the part with the pauses around it, for aligners; None: `audio`.
    """

    start: float
    end: float
    audio: NDArray[np.float32]
    text: str
    language: Language
    no_speech_probability: float | None = None
    log_probability: float | None = None
    margin: float = 0.0
    wide: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """Text with word times.

    Attributes:
        text: the aligned text, given or recognised.
        words: its words, in order.
        language: code ("en") if the language was detected; None otherwise.
        language_probability: probability of the detected language.
        no_speech_probability: highest value of all recognised passages; None without recognition.
        log_probability: lowest value of all recognised passages; None without recognition.
    """

    text: str
    words: list[Word]
    language: str | None = None
    language_probability: float | None = None
    no_speech_probability: float | None = None
    log_probability: float | None = None


def border_intervals(words: Sequence[Word]) -> list[dict[str, float] | None] | None:
    """Intervals of the borders of each word, for a row of `words`; None if no word has any."""
    if all(word.interval is None for word in words):
        return None
    return [word.interval and word.interval._asdict() for word in words]
