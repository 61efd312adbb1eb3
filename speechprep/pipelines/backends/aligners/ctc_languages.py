"""`CtcLanguages`: one CTC model for each language, or one for all, with both ways to time words."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput
from speechprep.pipelines.backends import Language, Passage, Transcript, Word
from speechprep.pipelines.backends.aligners.ctc import CtcAligner
from speechprep.pipelines.backends.aligners.ctc_models.model import RATE, too_short
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import interpolated
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.tokenizers.alignment.whisperx import align_segment
from speechprep.tokenizers.english.spoken import tokens

ANY = "*"  # a model for all languages
WITHOUT_SPACES = ("ja", "zh")
LEAST_SAMPLES = 400  # one frame of a model

Mode = Literal["ctc", "whisperx"]


class OneLanguage(StreamAligner):
    """A loaded CTC model for speech in one language."""

    name = "whisperx"
    sample_rate = RATE
    thread_safe = True
    recognises = False

    def __init__(self, aligner: CtcAligner, code: str, mode: Mode) -> None:
        self.aligner, self.code, self.mode = aligner, code, mode

    def identity(self) -> dict[str, Any]:
        """Identity of the model, language and mode."""
        return {**self.aligner.identity(), "language": self.code, "mode": self.mode}

    def _timed(self, stream: SlidingWindow, text: str) -> Transcript:
        if self.mode == "ctc":
            return self.aligner.timed(stream, text, self.code)
        parts = list(self.aligner.model.stream(stream, self.aligner.window, self.aligner.overlap))
        n_samples = stream.skip()
        if not parts:
            raise too_short(n_samples)
        plain = " ".join(tokens(text))
        return Transcript(plain, self._as_whisperx(np.concatenate(parts), plain, 0.0, n_samples / RATE))

    def align_passage(self, passage: Passage) -> list[Word]:
        """The words of a passage; in mode "whisperx" to the last digit those of WhisperX."""
        if self.mode == "ctc":
            return super().align_passage(passage)
        if len(passage.audio) < LEAST_SAMPLES:
            raise too_short(len(passage.audio))
        emissions = self.aligner.model.emissions(passage.audio)
        return self._as_whisperx(emissions, passage.text, passage.start, passage.end)

    def _as_whisperx(self, emissions: NDArray[np.float32], text: str, start: float, end: float) -> list[Word]:
        dictionary = {label.lower(): at for label, at in self.aligner.model.vocabulary.items()}
        aligned = align_segment(emissions, text, dictionary, start, end, spaces=self.code not in WITHOUT_SPACES)
        if aligned is None:
            raise BadInput("align_failed", "no way to fit the transcript into the audio: does it belong to it?")
        times = [None if word.start is None or word.end is None else (word.start, word.end) for word in aligned]
        return [
            Word(word.text, first, last, word.score, "interpolated" if word.score is None else "aligned")
            for word, (first, last) in zip(aligned, interpolated(times, end), strict=True)
        ]


class CtcLanguages:
    """CTC models by language, each loaded on first use.

    Args:
        models: language -> unloaded aligner; the language `ANY` stands for all others.
        mode: way to time words.
    """

    def __init__(self, models: Mapping[str, CtcAligner], mode: Mode) -> None:
        self.models, self.mode = models, mode
        self._ready: set[str] = set()
        self._loading = Lock()

    def find(self, language: Language) -> OneLanguage | None:
        """The loaded aligner for a language; None without a model for it."""
        key = language.code if language.code in self.models else ANY
        if key not in self.models:
            return None
        with self._loading:
            if key not in self._ready:
                self.models[key].load()
                self._ready.add(key)
        return OneLanguage(self.models[key], language.code, self.mode)
