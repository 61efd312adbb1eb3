"""What all aligners share: audio whole or in blocks, with a transcript or without, goes through one window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from speechprep.pipelines.backends import Transcript
from speechprep.pipelines.backends.aligners.windows import Window
from speechprep.tokenizers.spoken import tokens

Samples = NDArray[np.float32]


class StreamAligner:
    """An aligner that takes audio as it comes.

    Attributes:
        thread_safe: as of every backend; false for a decoder that holds the state of its search.
        min_score: mean word score from which on a row is kept where `align` is told no other limit; None: any.
    """

    thread_safe: bool = False
    min_score: float | None = None

    def align(self, audio: Samples, text: str | None) -> Transcript:
        """Times for every token of `text`, or of what is recognised where it is None.

        Args:
            audio: (n,) float32 in [-1, 1] at `sample_rate`.
            text: the transcript; its tokens are what stands between white space.

        Raises:
            BadInput: `no_alignable_text`, `audio_too_short`, `text_too_long`, `align_failed`, `no_align_model`.
        """
        return self.align_stream(iter([audio]), text)

    def align_stream(self, blocks: Iterator[Samples], text: str | None) -> Transcript:
        """`align` for audio that arrives in blocks; what is held of the audio does not grow with its length."""
        if text is None:
            return self._recognise(Window(blocks))
        if not tokens(text):
            return Transcript("", [])
        return self._timed(Window(blocks), text)

    def _recognise(self, stream: Window) -> Transcript:
        """What is said, with times."""
        raise NotImplementedError

    def _timed(self, stream: Window, text: str) -> Transcript:
        """Times for a transcript of at least one token."""
        raise NotImplementedError
