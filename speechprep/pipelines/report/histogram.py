"""Histogram of a stream: one pass, constant memory, the same result for any order of the values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

_HALF = 8192  # fine bins on either side of zero
_FINEST = 2.0**-13
_TINY = 1e-300
BEYOND = 0.002  # share of the values beyond the bars, on either side


@dataclass(frozen=True)
class Bars:
    """Bars: `counts[i]` values lie in [left + i * width, left + (i + 1) * width); the last bar includes its right
    edge."""

    left: float
    width: float
    counts: list[int]

    @property
    def centres(self) -> list[float]:
        """The middle of each bar."""
        return [round(self.left + (i + 0.5) * self.width, 9) for i in range(len(self.counts))]


@dataclass
class Histogram:
    """Counts on a grid of fine bins around zero. The bin width doubles when a value falls outside of the grid."""

    count: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    width: float = _FINEST
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * _HALF, np.int64))

    def add(self, values: ArrayLike) -> None:
        """Count the finite values."""
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        finite = np.where(np.abs(finite) < _TINY, 0.0, finite)  # divided by a width, they would lose their sign
        if not len(finite):
            return
        self.count += len(finite)
        self.total += float(finite.sum())
        self.low = min(self.low, float(finite.min()))
        self.high = max(self.high, float(finite.max()))
        while self.low / self.width < -_HALF or self.high / self.width >= _HALF:
            self._double()
        places = np.floor(finite / self.width).astype(np.int64) + _HALF
        self.bins += np.bincount(places, minlength=2 * _HALF)

    def _double(self) -> None:
        pairs = self.bins.reshape(-1, 2).sum(axis=1)
        self.bins = np.zeros(2 * _HALF, np.int64)
        self.bins[_HALF // 2 : _HALF // 2 + _HALF] = pairs
        self.width *= 2

    @property
    def mean(self) -> float:
        """Mean of the values, 0 without values."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, q: float) -> float:
        """The q-quantile to within one fine bin, 0 without values."""
        if not self.count:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self.bins), max(q * self.count, 1)))
        return min(max((place - _HALF + 0.5) * self.width, self.low), self.high)

    def bars(self) -> Bars:
        """About 36 bars with round edges at most, fewer for few values.

        The outermost bars also count the `BEYOND` share of values further out.
        """
        about = min(max(3 * math.sqrt(self.count), 8), 36)
        low, high = self.quantile(BEYOND), self.quantile(1 - BEYOND)
        width = max(nice_step((high - low) / about), self.width)
        left = math.floor(low / width) * width
        number = max(math.ceil((high - left) / width - 1e-9), 1)  # no bar of its own for a largest value on an edge
        centres = (np.arange(2 * _HALF) - _HALF + 0.5) * self.width
        places = np.clip(np.floor((centres - left) / width), 0, number - 1).astype(np.int64)
        counts = np.bincount(places, weights=self.bins, minlength=number)
        return Bars(left, width, [int(count) for count in counts])


def nice_step(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten, at least `step`."""
    if step <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= step * (1 - 1e-9))
