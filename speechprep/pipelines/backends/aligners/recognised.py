"""`RecognisedAligner`: any recogniser and any aligner as one aligner.

A given transcript goes to the aligner. Without a transcript, the recogniser finds the passages of speech with their
texts, and the aligner times the words of each passage in the audio of this passage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Aligner, Language, Passage, Recogniser, Transcript, Word
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import interpolated
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.tokenizers.english.spoken import tokens

Samples = NDArray[np.float32]


class RecognisedAligner(StreamAligner):
    """A recogniser and an aligner.

    Args:
        recogniser, aligner: unloaded, of the same sample rate.

    Raises:
        ConfigError: two sample rates.
    """

    def __init__(self, recogniser: Recogniser, aligner: Aligner) -> None:
        if recogniser.sample_rate != aligner.sample_rate:
            raise ConfigError(
                f"{recogniser.label} takes audio at {recogniser.sample_rate} Hz, {aligner.label} at "
                f"{aligner.sample_rate} Hz; choose two of the same sample rate"
            )
        self.recogniser, self.aligner = recogniser, aligner
        self.sample_rate = aligner.sample_rate
        self.min_score = aligner.min_score
        self.languages, self.needs_language = aligner.languages, aligner.needs_language

    @property
    def thread_safe(self) -> bool:  # type: ignore[override]
        """True if both are."""
        return self.recogniser.thread_safe and self.aligner.thread_safe

    @property
    def packages(self) -> Mapping[str, str]:  # type: ignore[override]
        """Those of both."""
        return {**self.aligner.packages, **self.recogniser.packages}

    def identity(self) -> dict[str, Any]:
        """Both identities."""
        return {**self.aligner.identity(), "recogniser": self.recogniser.identity()}

    def check(self) -> None:
        """Check both; see `Backend.check`."""
        self.recogniser.check()
        self.aligner.check()

    def load(self) -> None:
        """Load both."""
        self.recogniser.load()
        self.aligner.load()

    def in_language(self, code: str | None) -> Aligner:
        """This recogniser with the aligner for a language."""
        aligner = self.aligner.in_language(code)
        return self if aligner is self.aligner else RecognisedAligner(self.recogniser, aligner)

    def align_stream(self, blocks: Iterable[Samples], text: str | None) -> Transcript:
        """`align` for audio in blocks; memory does not grow with the length of the audio.

        Raises:
            BadInput: as of the aligner; `no_align_model` for a recognised language without a model.
        """
        if text is None:
            return self._recognised(blocks)
        if not (self.needs_language and tokens(text)):
            return self.aligner.align_stream(blocks, text)
        stream = SlidingWindow(iter(blocks))
        language = self.recogniser.language(stream.fill(round(self.recogniser.piece * self.sample_rate)))
        aligner = self.aligner if language is None else self.aligner.for_language(language)
        return replace(aligner.align_stream(stream.blocks(), text), **detection(language))

    def _recognised(self, blocks: Iterable[Samples]) -> Transcript:
        words: list[Word] = []
        language: Language | None = None
        no_speech: list[float] = []
        log_probabilities: list[float] = []
        for passage in self.recogniser.passages(blocks):
            language = passage.language
            words += timed(passage, self.aligner.for_language(language))
            no_speech += [] if passage.no_speech_probability is None else [passage.no_speech_probability]
            log_probabilities += [] if passage.log_probability is None else [passage.log_probability]
        return Transcript(
            " ".join(word.text for word in words),
            words,
            **detection(language),
            no_speech_probability=max(no_speech, default=None),
            log_probability=min(log_probabilities, default=None),
        )


def timed(passage: Passage, aligner: Aligner) -> list[Word]:
    """The words of a passage in seconds of the recording.

    An invented text may not fit into the audio. Its words then divide the passage evenly, without a score.
    """
    words = tokens(passage.text)
    if not words:
        return []
    try:
        return aligner.align_passage(passage)
    except BadInput:
        times = interpolated([None] * len(words), passage.end - passage.start)
        return [
            Word(word, passage.start + first, passage.start + last, None, "interpolated")
            for word, (first, last) in zip(words, times, strict=True)
        ]


def detection(language: Language | None) -> dict[str, Any]:
    """Language fields of a transcript; empty for a language from the options, because nothing was detected."""
    if language is None or language.given:
        return {}
    return {"language": language.code, "language_probability": language.probability}
