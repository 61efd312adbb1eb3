"""Overlapping windows of long audio for an encoder, without lost, doubled or shifted frames.

A window is cut at frame borders and contains a whole number of frames. Each of two overlapping windows contributes its
frames up to the middle of the overlap, so every frame has context on both sides. The last window is moved back to the
end of the audio, so it is as long as the others. Audio of one window or less is one window, without any change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import BadInput, ConfigError

F32 = NDArray[np.float32]
SHAPES = 8  # of the batches of a compiled model
SHORTEST = 1 / 16  # the shortest length of these shapes, by the longest


@dataclass(frozen=True, slots=True)
class EncoderWindow:
    """Samples (n,) for the encoder, of which the frames `[skip, skip + take)` are the next frames of the utterance."""

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
        """The windows of one utterance, from audio (n,) in pieces of any length; buffers two windows at most.

        Raises:
            BadInput: `audio_too_short` for less than one frame in all.
        """
        stride, size = self.grid.stride, self.frames
        span = (size - 1) * stride + self.grid.window
        buffer = _SampleBuffer()
        base = start = done = 0  # in frames: start of `buffer`, start of the next window, frames yielded
        for piece in blocks:
            buffer.add(piece)
            # Only with more samples than this window is it certain not to be the last one.
            while self.grid.num_frames(buffer.n - (start - base) * stride) > size:
                buffer.drop((start - base) * stride)
                base, stop = start, start + size - self.overlap // 2
                yield EncoderWindow(buffer.samples()[:span], done - start, stop - done)
                done = stop
                start += size - self.overlap
        samples = buffer.samples()
        total = base + self.grid.num_frames(len(samples))
        if not total:
            raise BadInput(
                "audio_too_short",
                f"{len(samples)} samples are less than one frame of {self.grid.window} "
                f"({1000 * self.grid.window / self.grid.sample_rate:g} ms)",
            )
        first = max(total - size, 0)
        yield EncoderWindow(samples[(first - base) * stride :], done - first, total - done)

    def positions(self, n_frames: int) -> NDArray[np.int64]:
        """(n_frames,) number of each frame of an utterance in the window that contributes it, as in `cut`."""
        numbers = np.empty(n_frames, np.int64)
        start = done = 0
        while n_frames - start > self.frames:
            stop = start + self.frames - self.overlap // 2
            numbers[done:stop] = np.arange(done - start, stop - start)
            done = stop
            start += self.frames - self.overlap
        first = max(n_frames - self.frames, 0)
        numbers[done:] = np.arange(done - first, n_frames - first)
        return numbers


class _SampleBuffer:
    """Buffer of samples; pieces are joined only on access, because they may be many and small."""

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
    """Item numbers of each padded batch, shortest items first.

    Args:
        lengths: samples of each item.
        budget: samples of a batch with its padding; a longer item is a batch by itself, and 0 gives batches of one.
        equal: batch only items of equal length, for a model without exact padding.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        fits = bool(batches) and (len(batches[-1]) + 1) * lengths[i] <= budget
        if fits and (not equal or lengths[batches[-1][0]] == lengths[i]):
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


class Shapes:
    """Batches of at most `SHAPES` shapes, for a compiled model: each length has a fixed number of rows.

    Args:
        longest: samples of the longest item.
        budget: samples of a batch with its padding.
    """

    def __init__(self, longest: int, budget: int) -> None:
        self.lengths = [round(longest * SHORTEST ** (1 - i / (SHAPES - 1))) for i in range(SHAPES)]
        self.rows = [max(1, budget // length) for length in self.lengths]

    def of(self, samples: int) -> tuple[int, int]:
        """(rows, samples) of the batch of an item."""
        return next((n, length) for n, length in zip(self.rows, self.lengths, strict=True) if length >= samples)

    def groups(self, lengths: list[int]) -> list[list[int]]:
        """Item numbers of each batch, shortest items first; a batch may have fewer items than rows."""
        batches: list[list[int]] = []
        for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
            shape = self.of(lengths[i])
            if not batches or self.of(lengths[batches[-1][0]]) != shape or len(batches[-1]) == shape[0]:
                batches.append([])
            batches[-1].append(i)
        return batches
