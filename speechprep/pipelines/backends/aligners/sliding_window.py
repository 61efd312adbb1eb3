"""Audio that arrives in blocks, looked at through a window of bounded length; and where in it there may be speech."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.pipelines.backends.aligners.sphinx import pcm

Samples = NDArray[np.float32]

VAD_FRAME = 0.03  # seconds
VAD_MODE = 2  # of 0 to 3, the strictness of the WebRTC detector
MIN_VOICED = 0.2  # seconds of it in a piece that can hold a word
MIN_DYNAMICS = 8.0  # dB between the loud and the quiet frames of speech; a hum, a hiss or a tone has 0 to 3
QUIET, LOUD = 10, 98  # percentiles of frame levels that the dynamics are measured between


class SlidingWindow:
    """The next samples of a stream: never more than asked for are held, beside one block."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._held = np.zeros(0, np.float32)
        self.start = 0  # of the window, in samples of the stream
        self.ended = False

    def fill(self, n_samples: int) -> Samples:
        """The next `n_samples`, fewer where the stream ends; `is_last` says whether that is all."""
        parts, held = [self._held], len(self._held)
        while held <= n_samples and not self.ended:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
            else:
                parts.append(block)
                held += len(block)
        self._held = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return self._held[:n_samples]

    def is_last(self, n_samples: int) -> bool:
        """True where the stream ends within `n_samples`."""
        return self.ended and len(self._held) <= n_samples

    def advance(self, n_samples: int) -> None:
        """Drop the first samples."""
        self._held = self._held[n_samples:].copy()
        self.start += n_samples

    def skip(self) -> int:
        """Read to the end of the stream; its length in samples."""
        total = self.start + len(self._held)
        self._held = np.zeros(0, np.float32)
        total += sum(len(block) for block in self._blocks)
        self.ended = True
        return total


class VoiceActivity:
    """The WebRTC voice activity detector that comes with PocketSphinx."""

    def __init__(self) -> None:
        from pocketsphinx import Vad

        self._detector: Any = Vad
        self.frame: int = self._fresh().frame_bytes // 2  # samples

    def _fresh(self) -> Any:
        return self._detector(mode=VAD_MODE, sample_rate=16_000, frame_length=VAD_FRAME)

    def voiced(self, audio: Samples) -> NDArray[np.bool_]:
        """One flag for each whole frame of `VAD_FRAME`; its state starts anew."""
        vad = self._fresh()
        data = pcm(audio)
        size = vad.frame_bytes
        return np.array([vad.is_speech(data[i : i + size]) for i in range(0, len(data) - size + 1, size)], np.bool_)

    def has_speech(self, audio: Samples) -> bool:
        """False where the audio cannot hold a word: nothing voiced, or a level that never changes."""
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
        """Where to cut: the middle of the longest unvoiced stretch in the later half, in samples.

        Where all is voiced, the quietest frame of that half.
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
