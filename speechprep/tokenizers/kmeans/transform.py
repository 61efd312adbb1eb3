"""Centring and scaling of frames before the search for the nearest centroid.

A frame x with number p in the window of its model becomes (x - means[p]) * scale, in two float32 operations on each
value. IEEE 754 defines the bits of both, so they depend neither on the other frames nor on the machine. The unit of x
is the nearest centroid of this frame.

The mean of a frame number is estimated from its n frames. It shrinks to the mean of all frames:

    means[p] = (n * mean of the frames with number p + SHRINKAGE * mean of all frames) / (n + SHRINKAGE)

A number without frames therefore has the mean of all frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError

SHRINKAGE = 20  # frames; at this count, both means have the same weight

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class FrameTransform:
    """Centring by frame number and scaling by dimension; see the module docstring.

    Attributes:
        means: (window frames, dim) float32, mean of each frame number; None: no centring.
        scale: (dim,) float32, factor of each dimension; None: no scaling.
    """

    means: F32 | None = None
    scale: F32 | None = None

    def __call__(self, frames: F32, positions: I64 | None) -> F32:
        """(n, dim) frames with their numbers (n,) -> (n, dim).

        Raises:
            ConfigError: the numbers are needed and None.
        """
        if self.means is not None:
            if positions is None:
                raise ConfigError(
                    "the codebook is centred by the number of a frame in its window, and the frames have no numbers; "
                    "call units of the extractor, or pass positions"
                )
            frames = frames - self.means[positions]
        return frames if self.scale is None else frames * self.scale


def shrunk_means(sums: F64, counts: I64, shrinkage: float = SHRINKAGE) -> F32:
    """Mean of each frame number (window frames, dim), from the sums and counts of its frames."""
    total = sums.sum(axis=0) / max(int(counts.sum()), 1)
    return np.asarray((sums + shrinkage * total) / (counts + shrinkage)[:, None], np.float32)


class ExactSums:
    """Sums of values for each frame number and dimension, equal for any order of the frames.

    Each value is rounded to a multiple of 2^-shift, with the largest shift of its dimension at which the sum over all
    frames fits into 64 bits. The sums are sums of integers.

    Args:
        numbers: frame numbers.
        largest: (dim,) largest absolute value of each dimension.
        n: upper bound of the number of frames.
    """

    def __init__(self, numbers: int, largest: F64, n: int) -> None:
        self._shift = 61 - max(int(n).bit_length(), 11) - np.frexp(largest)[1]
        self._sums = np.zeros((numbers, len(largest)), np.int64)
        self.counts = np.zeros(numbers, np.int64)

    def add(self, values: F64, numbers: I64) -> None:
        """Add values (m, dim) of frames with these numbers (m,)."""
        integers = np.rint(np.ldexp(values, self._shift)).astype(np.int64)
        order = np.argsort(numbers, kind="stable")
        present, first = np.unique(numbers[order], return_index=True)
        self._sums[present] += np.add.reduceat(integers[order], first, axis=0)
        self.counts += np.bincount(numbers, minlength=len(self.counts))

    @property
    def sums(self) -> F64:
        """(numbers, dim)."""
        return np.asarray(np.ldexp(self._sums.astype(np.float64), -self._shift))
