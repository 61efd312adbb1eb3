"""Seconds, samples and frames: the only place where one is turned into another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EPS = 1e-6  # in frames; a time on a frame edge belongs to the later frame, despite rounding errors


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """The frames of an extractor.

    Attributes:
        sample_rate: samples per second of the extractor's input.
        stride: samples from the start of one frame to the start of the next.
        window: samples of one frame (the receptive field).
        padded: True where the end is padded (Whisper: ceil(n / stride)), False where only whole windows count
            (HuBERT, MFCC: floor((n - window) / stride) + 1).
    """

    sample_rate: int
    stride: int
    window: int
    padded: bool = False

    @classmethod
    def of_extra(cls, extra: Mapping[str, Any]) -> FrameGrid:
        """The grid in `extra` of a manifest. Token rows of text without units have none: 1 s, used for no time."""
        return cls(**extra["grid"]) if extra.get("grid") else cls(1, 1, 1)

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.stride

    def num_frames(self, n_samples: int) -> int:
        """Frames of an utterance of `n_samples` at `sample_rate`."""
        if self.padded:
            return -(-n_samples // self.stride)
        return 0 if n_samples < self.window else (n_samples - self.window) // self.stride + 1

    def start(self, frame: int) -> float:
        """Start of a frame in seconds."""
        return frame * self.stride / self.sample_rate

    def starts(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """`start` for an array."""
        return frames * self.stride / self.sample_rate

    def centres(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Centres of the windows of frames, in seconds."""
        return self.starts(frames) + self.window / 2 / self.sample_rate

    def frame_at(self, seconds: float, n_frames: int) -> int:
        """The frame with `seconds` in its stride, clipped to [0, n_frames]."""
        return min(max(math.floor(seconds * self.sample_rate / self.stride + _EPS), 0), n_frames)

    def frames_at(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        """`frame_at` for an array, not clipped."""
        return np.floor(seconds * (self.sample_rate / self.stride) + _EPS).astype(np.int64)

    def as_dict(self) -> dict[str, Any]:
        """For a manifest; `FrameGrid(**d)` reads it back."""
        return asdict(self)


def num_samples(seconds: float, sample_rate: int) -> int:
    """Samples in a duration, to the nearest."""
    return round(seconds * sample_rate)


def seconds(n_samples: int, sample_rate: int) -> float:
    """Duration of a number of samples."""
    return n_samples / sample_rate
