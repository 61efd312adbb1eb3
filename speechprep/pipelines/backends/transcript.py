"""Passages, the result of a recogniser, and transcripts with word times, the result of an aligner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Timing = Literal["aligned", "interpolated", "given"]


@dataclass(frozen=True, slots=True)
class Word:
    """A written word with its time in seconds from the start of the utterance."""

    text: str
    start: float
    end: float
    score: float | None
    timing: Timing


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
