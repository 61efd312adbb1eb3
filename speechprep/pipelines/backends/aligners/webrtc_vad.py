"""Voice activity detection in a window of audio, by the WebRTC detector in the PocketSphinx package."""

from __future__ import annotations

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
