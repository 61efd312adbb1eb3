"""Audio of any length in windows that an encoder can take, with no frame lost, doubled or shifted.

A window is cut at frame borders and holds a whole number of frames. Of two neighbours that overlap, each gives the
frames up to the middle of the overlap, so every frame kept has context on both sides; the last window is moved back to
end with the audio, so it is as long as the others. Audio of one window or less is one window, whole: what it gives is
what the encoder gives by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import BadInput, ConfigError

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncoderWindow:
    """Samples (n,) for the encoder; of the frames it makes of them, `[skip, skip + take)` are the utterance's next."""

    samples: F32
    skip: int
    take: int


class EncoderWindows:
    """Windows of `seconds` that overlap by `overlap` seconds, both rounded to frames.

    Raises:
        ConfigError: the overlap is negative or more than half a window.
    """

    def __init__(self, grid: FrameGrid, seconds: float, overlap: float) -> None:
        self.grid = grid
        self.frames = round(seconds * grid.rate)
        self.overlap = round(overlap * grid.rate)
        if self.frames < 1 or not 0 <= self.overlap <= self.frames // 2:
            raise ConfigError(
                f"window = {seconds} s with overlap = {overlap} s: the overlap must be between 0 and half the window"
            )

    def cut(self, blocks: Iterable[F32]) -> Iterator[EncoderWindow]:
        """The windows of one utterance whose audio (n,) comes in pieces of any length; holds two windows at most.

        Raises:
            BadInput: `audio_too_short` for less than one frame in all.
        """
        stride, size = self.grid.stride, self.frames
        span = (size - 1) * stride + self.grid.window
        held = _SampleBuffer()
        base = start = given = 0  # in frames: where `held` begins, the next window, the frames given so far
        for piece in blocks:
            held.add(piece)
            # Only when there is more than this window is it sure not to be the last one.
            while self.grid.num_frames(held.n - (start - base) * stride) > size:
                held.drop((start - base) * stride)
                base, stop = start, start + size - self.overlap // 2
                yield EncoderWindow(held.samples()[:span], given - start, stop - given)
                given = stop
                start += size - self.overlap
        samples = held.samples()
        total = base + self.grid.num_frames(len(samples))
        if not total:
            raise BadInput(
                "audio_too_short",
                f"{len(samples)} samples are less than one frame of {self.grid.window} "
                f"({1000 * self.grid.window / self.grid.sample_rate:g} ms)",
            )
        first = max(total - size, 0)
        yield EncoderWindow(samples[(first - base) * stride :], given - first, total - given)


class _SampleBuffer:
    """Samples not yet given up; joined only when they are looked at, as pieces may be many and small."""

    def __init__(self) -> None:
        self.pieces: list[F32] = []
        self.n = 0

    def add(self, piece: F32) -> None:
        self.pieces.append(piece)
        self.n += len(piece)

    def samples(self) -> F32:
        if len(self.pieces) != 1:
            self.pieces = [np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.float32)]
        return self.pieces[0]

    def drop(self, n: int) -> None:
        self.pieces = [self.samples()[n:]]
        self.n -= n


def groups(lengths: list[int], budget: int, *, equal: bool) -> list[list[int]]:
    """Numbers of the items that go into one padded batch, shortest first.

    Args:
        lengths: samples of each item.
        budget: samples of a batch with its padding; a longer item is a batch by itself, and 0 gives batches of one.
        equal: only items of one length go together (for a model that cannot be padded exactly).
    """
    made: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        fits = bool(made) and (len(made[-1]) + 1) * lengths[i] <= budget
        if fits and (not equal or lengths[made[-1][0]] == lengths[i]):
            made[-1].append(i)
        else:
            made.append([i])
    return made
