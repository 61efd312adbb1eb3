"""Lloyd's iteration over frames that need not fit in memory, with the same result for any blocks, threads and devices.

Assignment is exact (see `quantizer`). The sums behind the new centroids are exact as well: each value is rounded once
to a multiple of 2^-shift, with the shift so large that a sum over all frames just fits into 64 bits, and from there on
it is integers, whose sums depend on no order. So a frame that changes its unit is taken from one sum and added to the
other, and only such frames are touched: after the first iterations that is a small share.

The rounding is at most 2^-63 * n * max|x| for each value, n frames being a power of two: for a million frames below 64,
2^-37. It is below that of float32, in which centroids are stored.
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
from speechprep.tokenizers.kmeans.nearest import Centroids, Finder, squared_lengths

NO_UNIT = -1
BITS = 62  # of a sum; one is for the sign, one to spare
VALUE_BITS = 50  # of one value: what a float64 holds beside the sum's rounding
ROUNDER = 1.5 * 2.0**52
ROUNDER_BITS = int(np.array(ROUNDER).view(np.int64))
QUANTISED_ROWS = 128  # rows turned into integers at once: what fits the cache of a core
STEP = 1 / 64  # how far towards a frame of the unit that is split the new centroid lies

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
R = TypeVar("R")


class Threads:
    """A pool that works on blocks, with one BLAS thread for each of its own.

    Args:
        n: threads; as many as this process may use where it is None.
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
        """What `work` gives for each block, in order; a block and what it has read are gone when its work is done."""
        return list(self._pool.map(lambda span: work(frames.block(*span)), frames.spans()))


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Lengths:
    """Of all frames: squared lengths (n,) float64, the largest |value|, and the shifts that follow from them."""

    squared: F64
    largest: float

    @property
    def shift(self) -> int:
        """Of the sums of values."""
        return _shift(len(self.squared), self.largest)

    @property
    def squared_shift(self) -> int:
        """Of the sums of squared lengths."""
        return _shift(len(self.squared), float(self.squared.max(initial=0.0)))


def _shift(n: int, largest: float) -> int:
    return min(BITS - n.bit_length(), VALUE_BITS) - math.frexp(largest)[1]


def measure(frames: Subset, threads: Threads) -> Lengths:
    """One pass over all frames.

    Raises:
        ConfigError: there are values that are not finite.
    """
    squared = np.empty(len(frames))

    def work(block: Block) -> float:
        squared[block.start : block.stop] = squared_lengths(block.data)
        return float(max(block.data.max(), -block.data.min()))

    largest = max(threads.over(frames, work))
    if not np.isfinite(squared).all():
        raise ConfigError("k-means: the sample holds NaN or infinity; look for damaged audio in its utterances")
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
        """Frames (m, dim) go from their old units (`NO_UNIT`: from outside) to new ones. Threads may share it."""
        from scipy.sparse import csr_array

        was = np.flatnonzero(old != NO_UNIT)
        units, place = np.unique(np.concatenate([new, old[was]]), return_inverse=True)
        sign = np.ones(len(place), np.int64)
        sign[len(new) :] = -1
        column = np.concatenate([np.arange(len(new)), was])
        moves = csr_array((sign, (place, column)), shape=(len(units), len(new)))
        lengths = np.rint(np.ldexp(squared, self._squared_shift)).astype(np.int64)
        values, more, counts = moves @ quantised(data, self._shift), moves @ lengths, moves @ np.ones_like(new)
        with self._lock:
            self.values[units] += values
            self.squared[units] += more
            self.counts[units] += counts

    def inertia(self, centroids: F64) -> float:
        """Sum of squared distances of the frames to the centroids of their units."""
        sums = np.ldexp(self.values.astype(np.float64), -self._shift)
        twice = (sums * centroids).sum(axis=1)
        own = self.counts * (centroids**2).sum(axis=1)
        return max(float((self._squared() - 2 * twice + own).sum()), 0.0)

    def means(self) -> F64:
        """Of each unit; zeros for an empty one."""
        sums = np.ldexp(self.values.astype(np.float64), -self._shift)
        return np.asarray(sums / np.maximum(self.counts, 1)[:, None])

    def scatter(self, means: F64) -> F64:
        """Of each unit, the sum of squared distances of its frames to its mean."""
        return np.asarray(np.maximum(self._squared() - self.counts * (means**2).sum(axis=1), 0.0))

    def _squared(self) -> F64:
        return np.asarray(np.ldexp(self.squared.astype(np.float64), -self._squared_shift))


def quantised(data: F32, shift: int) -> I64:
    """Values as multiples of 2^-shift, to the nearest, halves to even.

    Added to `ROUNDER`, a float64 has no bits left below 1 and its last 52 bits are the integer that it was rounded to.
    """
    found = np.empty(data.shape, np.float64)
    scale = math.ldexp(1.0, shift)
    for start in range(0, len(data), QUANTISED_ROWS):
        part = found[start : start + QUANTISED_ROWS]
        part[...] = data[start : start + QUANTISED_ROWS]
        part *= scale
        part += ROUNDER
        integers = part.view(np.int64)
        integers -= ROUNDER_BITS
    return found.view(np.int64)


class Lloyd:
    """The state of one run: which unit each frame has, and the sums that follow from it.

    Args:
        k: units.
        dim: values of a frame.
        keys: (n,) of all frames; they say which frame an empty unit is put near.
        lengths: of the same frames.
        threads: to work with.
        finder: see `quantizer`.
    """

    def __init__(
        self, k: int, dim: int, keys: NDArray[np.uint64], lengths: Lengths, threads: Threads, finder: Finder | None
    ) -> None:
        self.units = np.full(len(keys), NO_UNIT, np.int32)
        self.sums = Sums(k, dim, lengths)
        self._keys, self._lengths, self._threads, self._finder = keys, lengths, threads, finder

    def assign(self, frames: Subset, centroids: F32) -> int:
        """Give the frames of a subset their nearest centroids; returns how many changed.

        Frames of an earlier subset must be in this one.
        """
        search = Centroids(centroids, self._finder)

        def work(block: Block) -> int:
            rows = frames.rows[block.start : block.stop]
            squared = self._lengths.squared[rows]
            new = search.nearest(block, np.sqrt(squared))
            old = self.units[rows].astype(np.int64)
            moved = np.flatnonzero(new != old)
            if len(moved):
                whole = len(moved) == len(rows)
                data = block.data if whole else block.data[moved]
                self.sums.move(data, squared[moved], old[moved], new[moved])
                self.units[rows[moved]] = new[moved]
            return len(moved)

        return sum(self._threads.over(frames, work))

    def update(self, centroids: F32, take: Callable[[I64], F32]) -> tuple[F64, I64]:
        """The means of the units (k, dim), and which units were empty and got a part of the one that scatters most.

        That is the unit with the largest sum of squared distances to its mean, the lowest of equals; a unit that is
        split already counts with that sum over its parts. Its centroid stays at the mean; the empty unit's is put
        `STEP` of the way from there to the frame of that unit that has the lowest key, the next lowest where it is
        split again. So the inertia does not rise. Where all frames lie on their centroids, the empty unit stays.

        Args:
            centroids: that the frames were assigned to.
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
