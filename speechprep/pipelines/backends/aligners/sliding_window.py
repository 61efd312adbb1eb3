"""A sliding window of bounded length over audio in blocks, and voice activity detection in a window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.pipelines.backends.aligners.sphinx import pcm

Samples = NDArray[np.float32]

VAD_FRAME = 0.03  # seconds
VAD_MODE = 2  # strictness of the WebRTC detector, 0 to 3
MIN_VOICED = 0.2  # seconds of voice in a piece with a word
MIN_DYNAMICS = 8.0  # dB between loud and quiet frames of speech; a hum, a hiss or a tone has 0 to 3
QUIET, LOUD = 10, 98  # percentiles of frame levels for the dynamics


class SlidingWindow:
    """The next samples of a stream; the buffer holds the requested samples and at most one block more."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._buffer = np.zeros(0, np.float32)
        self.start = 0  # of the window, in samples of the stream
        self.ended = False

    def fill(self, n_samples: int) -> Samples:
        """The next `n_samples`, or fewer at the end of the stream; see `is_last`."""
        parts, count = [self._buffer], len(self._buffer)
        while count <= n_samples and not self.ended:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
            else:
                parts.append(block)
                count += len(block)
        self._buffer = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return self._buffer[:n_samples]

    def is_last(self, n_samples: int) -> bool:
        """True if the stream ends within `n_samples`."""
        return self.ended and len(self._buffer) <= n_samples

    def advance(self, n_samples: int) -> None:
        """Drop the first samples."""
        self._buffer = self._buffer[n_samples:].copy()
        self.start += n_samples

    def skip(self) -> int:
        """Read to the end of the stream and return its length in samples."""
        total = self.start + len(self._buffer)
        self._buffer = np.zeros(0, np.float32)
        total += sum(len(block) for block in self._blocks)
        self.ended = True
        return total


class VoiceActivity:
    """The WebRTC voice activity detector in the PocketSphinx package."""

    def __init__(self) -> None:
        from pocketsphinx import Vad

        self._detector: Any = Vad
        self.frame: int = self._fresh().frame_bytes // 2  # samples

    def _fresh(self) -> Any:
        return self._detector(mode=VAD_MODE, sample_rate=16_000, frame_length=VAD_FRAME)

    def voiced(self, audio: Samples) -> NDArray[np.bool_]:
        """One flag for each whole frame of `VAD_FRAME`; the detector starts with a fresh state."""
        vad = self._fresh()
        data = pcm(audio)
        size = vad.frame_bytes
        return np.array([vad.is_speech(data[i : i + size]) for i in range(0, len(data) - size + 1, size)], np.bool_)

    def has_speech(self, audio: Samples) -> bool:
        """False if the audio cannot contain a word: no voice, or a constant level."""
        n = len(audio) // self.frame
        if n == 0:
            return False
        frames = audio[: n * self.frame].reshape(n, self.frame).astype(np.float64)
        power = np.square(frames - frames.mean()).mean(axis=1)
        if not power.any():
            return False
        level = 10.0 * np.log10(np.maximum(power, power.max() * 1e-8))
        quiet, loud = np.percentile(level, (QUIET, LOUD))
        return bool(loud - quiet >= MIN_DYNAMICS and self.voiced(audio).sum() * VAD_FRAME >= MIN_VOICED)

    def pause(self, audio: Samples) -> int:
        """Sample number of the best cut: the middle of the longest unvoiced stretch in the second half.

        Without an unvoiced frame it is the quietest frame of this half.
        """
        n = len(audio) // self.frame
        half = n // 2
        voiced = self.voiced(audio)[half:]
        edges = np.flatnonzero(np.diff(np.concatenate(([True], voiced, [True])).astype(np.int8)))
        if len(edges):
            starts, stops = edges[::2], edges[1::2]
            longest = int(np.argmax(stops - starts))
            return (half + int(starts[longest] + stops[longest]) // 2) * self.frame
        frames = audio[half * self.frame : n * self.frame].reshape(-1, self.frame)
        return (half + int(np.argmin(np.square(frames, dtype=np.float64).sum(axis=1)))) * self.frame
