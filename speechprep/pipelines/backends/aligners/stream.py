"""`StreamAligner`: base of the built-in aligners, which read audio through one sliding window."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Aligner, Transcript
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.tokenizers.english.spoken import tokens

Samples = NDArray[np.float32]


class StreamAligner(Aligner):
    """An aligner that reads audio in blocks; memory does not grow with the length of the audio."""

    def align(self, audio: Samples, text: str | None) -> Transcript:
        """Times for every token of `text`, or for the recognised words if `text` is None.

        Args:
            audio: (n,) float32 in [-1, 1] at `sample_rate`.
            text: the transcript; white space separates its tokens.

        Raises:
            ConfigError: `text` is None, and the aligner has no recogniser.
            BadInput: `no_alignable_text`, `audio_too_short`, `text_too_long`, `align_failed`, `no_align_model`.
        """
        return self.align_stream(iter([audio]), text)

    def align_stream(self, blocks: Iterable[Samples], text: str | None) -> Transcript:
        """`align` for audio in blocks; memory does not grow with the length of the audio."""
        if text is None:
            if not self.recognises:
                raise ConfigError(f"{self.label} has no recogniser for speech without a transcript; give a transcript")
            return self._recognise(SlidingWindow(iter(blocks)))
        if not tokens(text):
            return Transcript("", [])
        return self._timed(SlidingWindow(iter(blocks)), text)

    def _recognise(self, stream: SlidingWindow) -> Transcript:
        """The recognised words with times."""
        raise NotImplementedError

    def _timed(self, stream: SlidingWindow, text: str) -> Transcript:
        """Times for a transcript of at least one token."""
        raise NotImplementedError


def shown(text: str, most: int = 60) -> str:
    """A transcript in quotes for a message; at most `most` characters of it."""
    return repr(text if len(text) <= most else text[:most] + "...")
