"""Lloyd's iteration over frames larger than memory, with equal results for all blocks, threads and devices.

Assignment is exact (see `nearest`). The sums behind the new centroids are exact too. Each value is rounded once to a
multiple of 2^-shift, with the largest shift at which a sum over all frames fits into 64 bits. From there on the values
are integers, and sums of integers do not depend on their order. A frame with a changed unit is subtracted from one sum
and added to the other. Only these frames are touched: a small share after the first iterations.

The rounding error of a value is at most 2^-63 * n * max|x|, with n rounded up to a power of two. For a million frames
with values below 64 this is 2^-37, less than the rounding of the float32 centroids.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.kmeans.frames import Block, Subset
from speechprep.tokenizers.kmeans.nearest import Centroids, CentroidSearch, squared_lengths

NO_UNIT = -1
BITS = 62  # bits of a sum; of the other two, one is the sign and one is a reserve
VALUE_BITS = 50  # bits of one value: the exact integers of a float64, less a reserve
ROUNDER = 1.5 * 2.0**52
ROUNDER_BITS = int(np.array(ROUNDER).view(np.int64))
QUANTISED_ROWS = 128  # rows converted to integers at once; they fit the cache of a core
STEP = 1 / 64  # of the way from the mean of a split unit to one of its frames: the position of the new centroid

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
R = TypeVar("R")


class Threads:
    """Thread pool for blocks of frames. BLAS uses one thread inside each of its threads.

    Args:
        n: number of threads; None: the usable cores.
    """

    def __init__(self, n: int | None = None) -> None:
        self.n = n or usable_cores()

    def __enter__(self) -> Threads:
        from threadpoolctl import threadpool_limits

        self._limit = threadpool_limits(limits=1, user_api="blas")
        self._pool = ThreadPoolExecutor(self.n)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limit.restore_original_limits()

    def over(self, frames: Subset, work: Callable[[Block], R]) -> list[R]:
        """The results of `work` for all blocks, in order. Each block is freed after its work."""
        return list(self._pool.map(lambda span: work(frames.block(*span)), frames.spans()))


def usable_cores() -> int:
    """Number of cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Lengths:
    """Squared lengths of all frames (n,) float64, the largest |value|, and the shifts derived from them."""

    squared: F64
    largest: float

    @property
    def shift(self) -> int:
        """Shift of the sums of values."""
        return _shift(len(self.squared), self.largest)

    @property
    def squared_shift(self) -> int:
        """Shift of the sums of squared lengths."""
        return _shift(len(self.squared), float(self.squared.max(initial=0.0)))


def _shift(n: int, largest: float) -> int:
    return min(BITS - n.bit_length(), VALUE_BITS) - math.frexp(largest)[1]


def measure(frames: Subset, threads: Threads) -> Lengths:
    """Squared lengths and largest value, in one pass over all frames.

    Raises:
        ConfigError: a value is not finite.
    """
    squared = np.empty(len(frames))

    def work(block: Block) -> float:
        squared[block.start : block.stop] = squared_lengths(block.data)
        return float(max(block.data.max(), -block.data.min()))

    largest = max(threads.over(frames, work))
    if not np.isfinite(squared).all():
        raise ConfigError("k-means: the sample contains NaN or infinity; check its utterances for damaged audio")
    return Lengths(squared, largest)


class Sums:
    """Exact sums, squared lengths and counts of the frames of each unit."""

    def __init__(self, k: int, dim: int, lengths: Lengths) -> None:
        self.values = np.zeros((k, dim), np.int64)
        self.squared = np.zeros(k, np.int64)
        self.counts = np.zeros(k, np.int64)
        self._shift, self._squared_shift = lengths.shift, lengths.squared_shift
        self._lock = threading.Lock()

    def move(self, data: F32, squared: F64, old: I64, new: I64) -> None:
        """Move frames (m, dim) from their old units (`NO_UNIT`: not yet counted) to new ones. Thread-safe."""
        from scipy.sparse import csr_array

        counted = np.flatnonzero(old != NO_UNIT)
        units, row = np.unique(np.concatenate([new, old[counted]]), return_inverse=True)
        sign = np.ones(len(row), np.int64)
        sign[len(new) :] = -1
        column = np.concatenate([np.arange(len(new)), counted])
        moves = csr_array((sign, (row, column)), shape=(len(units), len(new)))
        lengths = np.rint(np.ldexp(squared, self._squared_shift)).astype(np.int64)
        values, added, counts = moves @ quantised(data, self._shift), moves @ lengths, moves @ np.ones_like(new)
        with self._lock:
            self.values[units] += values
            self.squared[units] += added
            self.counts[units] += counts

    def inertia(self, centroids: F64) -> float:
        """Sum of squared distances of the frames to the centroids of their units."""
        sums = np.ldexp(self.values.astype(np.float64), -self._shift)
        products = (sums * centroids).sum(axis=1)
        centroid_part = self.counts * (centroids**2).sum(axis=1)
        return max(float((self._squared() - 2 * products + centroid_part).sum()), 0.0)

    def means(self) -> F64:
        """(k, dim) mean of the frames of each unit; zeros for an empty unit."""
        sums = np.ldexp(self.values.astype(np.float64), -self._shift)
        return np.asarray(sums / np.maximum(self.counts, 1)[:, None])

    def scatter(self, means: F64) -> F64:
        """(k,) sum of squared distances of the frames of each unit to its mean."""
        return np.asarray(np.maximum(self._squared() - self.counts * (means**2).sum(axis=1), 0.0))

    def _squared(self) -> F64:
        return np.asarray(np.ldexp(self.squared.astype(np.float64), -self._squared_shift))


def quantised(data: F32, shift: int) -> I64:
    """Values as integer multiples of 2^-shift, rounded to the nearest, halves to even.

    A float64 plus `ROUNDER` has no bits below 1, so its last 52 bits are the rounded integer.
    """
    rounded = np.empty(data.shape, np.float64)
    scale = math.ldexp(1.0, shift)
    for start in range(0, len(data), QUANTISED_ROWS):
        part = rounded[start : start + QUANTISED_ROWS]
        part[...] = data[start : start + QUANTISED_ROWS]
        part *= scale
        part += ROUNDER
        integers = part.view(np.int64)
        integers -= ROUNDER_BITS
    return rounded.view(np.int64)


class Lloyd:
    """The state of one k-means run: the unit of each frame, and the sums of each unit.

    Args:
        k: number of units.
        dim: values of a frame.
        keys: (n,) keys of all frames; they select the frame next to which an empty unit is placed.
        lengths: squared lengths of all frames.
        threads: the thread pool.
        search: the search backend, see `nearest`; None: NumPy.
    """

    def __init__(
        self,
        k: int,
        dim: int,
        keys: NDArray[np.uint64],
        lengths: Lengths,
        threads: Threads,
        search: CentroidSearch | None,
    ) -> None:
        self.units = np.full(len(keys), NO_UNIT, np.int32)
        self.sums = Sums(k, dim, lengths)
        self._keys, self._lengths, self._threads, self._search = keys, lengths, threads, search

    def assign(self, frames: Subset, centroids: F32) -> int:
        """Assign the frames of a subset to their nearest centroids; returns the number of changed frames.

        The subset must contain the earlier subsets.
        """
        centres = Centroids(centroids, self._search)

        def work(block: Block) -> int:
            rows = frames.rows[block.start : block.stop]
            squared = self._lengths.squared[rows]
            new = centres.nearest(block, np.sqrt(squared))
            old = self.units[rows].astype(np.int64)
            moved = np.flatnonzero(new != old)
            if len(moved):
                data = block.data if len(moved) == len(rows) else block.data[moved]
                self.sums.move(data, squared[moved], old[moved], new[moved])
                self.units[rows[moved]] = new[moved]
            return len(moved)

        return sum(self._threads.over(frames, work))

    def update(self, centroids: F32, take: Callable[[I64], F32]) -> tuple[F64, I64]:
        """The means of the units (k, dim) after filling empty units, and the numbers of the empty units.

        An empty unit receives a part of the unit with the largest scatter, the lowest number among equals. A unit split
        before counts with its scatter divided by its parts. The centroid of the split unit stays at its mean. The new
        centroid lies `STEP` of the way from the mean to the frame of the unit with the lowest key. At a second split
        the next lowest key is taken. The inertia does not rise. If all frames lie on their centroids, the empty unit
        stays empty.

        Args:
            centroids: (k, dim) centroids of the last `assign`.
            take: row numbers -> frames.
        """
        means = self.sums.means()
        empty = np.flatnonzero(self.sums.counts == 0)
        means[empty] = centroids[empty]
        if not len(empty):
            return means, empty
        scatter = self.sums.scatter(means)
        parts = np.ones(len(scatter), np.int64)
        for unit in empty.tolist():
            split = int((scatter / parts).argmax())
            members = np.flatnonzero(self.units == split)
            if scatter[split] <= 0 or parts[split] > len(members):
                break
            row = members[np.argsort(self._keys[members], kind="stable")[parts[split] - 1]]
            means[unit] = means[split] + STEP * (take(np.array([row]))[0].astype(np.float64) - means[split])
            parts[split] += 1
        return means, empty
