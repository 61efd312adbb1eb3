"""Frames -> units: each frame gets its nearest centroid. `kmeans` makes the centroids.

A unit is the index of the nearest centroid in exact arithmetic (float64), the lowest index among equals. Matrix
products in float32 find it; their last bits depend on the BLAS library, the number of threads and the shape of the
batch, so wherever the runner-up is within the bound of the rounding error the frame is compared again in float64. So a
frame's unit does not depend on the frames beside it, nor on the machine.

Who makes the float32 products is a `Finder`: NumPy here, a GPU in `finders`. A finder only proposes, with the scores of
its best two; the bound of its rounding errors decides which proposals are looked at again. So all finders give the same
units.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.kmeans.frames import Block

BLOCK_BYTES = 8 << 20  # of one block of scores
UNIT_ROUNDOFF = 2.0**-24  # of float32
UNIT_ROUNDOFF_WIDE = 2.0**-53  # of float64
APART = 4  # errors: both scores of a pair may be off, and twice that to be safe

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Lengths = TypeVar("Lengths")
Top2 = tuple[NDArray[np.int64], F32, F32]


class Finder(Protocol):
    """Proposes the nearest centroid of each frame."""

    def prepare(self, centroids: F32, half: F32) -> None:
        """Take the (k, dim) centroids to search, and half their squared lengths (k,)."""

    def top2(self, block: Block) -> Top2:
        """For each frame x of (m, dim): the index of the least `half[c] - x . centroid[c]`, that score and the next.

        Scores may be off by one number for each row (|x|^2 / 2 of a squared distance). The next is infinite where
        there is only one centroid.
        """

    def forget(self) -> None:
        """Blocks seen so far will not be seen again."""

    def error(self, norms: F64, norm: float, dim: int) -> F64:
        """How far a score may be off (beside what is common to a row), for |x| of each row and the largest |c|."""


class NumpyFinder:
    """The finder that is always there: a matrix product by BLAS."""

    def prepare(self, centroids: F32, half: F32) -> None:
        """See `Finder`."""
        self._half = half
        self._transposed = np.ascontiguousarray(centroids.T)

    def top2(self, block: Block) -> Top2:
        """See `Finder`."""
        scores = block.data @ self._transposed
        np.subtract(self._half, scores, out=scores)
        best = scores.argmin(axis=1)
        rows = np.arange(len(block))
        lowest = scores[rows, best]
        scores[rows, best] = np.inf
        return best, lowest, scores.min(axis=1)

    def forget(self) -> None:
        """Nothing is kept."""

    def error(self, norms: F64, norm: float, dim: int) -> F64:
        """See `Finder`."""
        return product_error(norms, norm, dim, UNIT_ROUNDOFF)


def product_error(norms: Lengths, norm: float, dim: int, roundoff: float) -> Lengths:
    """Bound of the rounding error of `half - x . c` whose sum is made in any order, `half` rounded once before.

    That of a dot product of length d is at most about d * u * |x| |c| (Higham, Accuracy and Stability of Numerical
    Algorithms, 3.5), the rest a few u (|c|^2 + |x|^2). `norms`, the |x|, are a float64 array or tensor.
    """
    x: Any = norms
    bound: Lengths = roundoff * ((dim + 4) * x * norm + 2 * (norm**2 + x**2))
    return bound


class Centroids:
    """Nearest-centroid assignment with what can be computed once. `k` units of `dim` values.

    Args:
        centroids: (k, dim) float32.
        finder: who proposes; NumPy where none is given.
    """

    def __init__(self, centroids: F32, finder: Finder | None = None) -> None:
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self.k, self.dim = self.centroids.shape
        self._wide = self.centroids.astype(np.float64)
        self._half_wide = 0.5 * (self._wide**2).sum(axis=1)
        self._norm = float(np.sqrt(2 * self._half_wide.max()))
        self._finder = NumpyFinder() if finder is None else finder
        self._finder.prepare(self.centroids, self._half_wide.astype(np.float32))
        self._rows = max(BLOCK_BYTES // (4 * self.k), 16)
        self.dtype: type[np.uint16] | type[np.uint32] = np.uint16 if self.k <= 1 << 16 else np.uint32

    def assign(self, features: F32) -> NDArray[np.unsignedinteger]:
        """(n, dim) float32 -> (n,) unit ids, uint16 up to 65,536 units; see the module docstring.

        Raises:
            ConfigError: features of another dimension.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ConfigError(f"features of shape {features.shape}, the codebook has {self.dim} dimensions")
        units = np.empty(len(features), self.dtype)
        for start in range(0, len(features), self._rows):
            block = Block.of(np.ascontiguousarray(features[start : start + self._rows], np.float32))
            units[start : start + len(block)] = self.nearest(block)
        return units

    def nearest(self, block: Block, norms: F64 | None = None) -> NDArray[np.int64]:
        """The same for one block, whose scores are held at once. `norms`: lengths of the rows, where they are known."""
        best, lowest, runner_up = self._finder.top2(block)
        if norms is None:
            norms = np.sqrt(squared_lengths(block.data))
        close = np.flatnonzero(runner_up - lowest <= APART * self._finder.error(norms, self._norm, self.dim))
        if len(close):
            best[close] = self._wide_nearest(block.data[close], norms[close])
        return best

    def _wide_nearest(self, block: F32, norms: F64) -> NDArray[np.int64]:
        """The definition: all centroids in float64, and those that even so are too close to tell by |x - c|^2."""
        wide = block.astype(np.float64)
        scores = self._half_wide - wide @ self._wide.T
        limit = scores.min(axis=1) + APART * product_error(norms, self._norm, self.dim, UNIT_ROUNDOFF_WIDE)
        candidates = scores <= limit[:, None]
        best = candidates.argmax(axis=1)
        for row in np.flatnonzero(candidates.sum(axis=1) > 1):
            mine = np.flatnonzero(candidates[row])
            apart = self._wide[mine] - wide[row]
            best[row] = mine[(apart * apart).sum(axis=1).argmin()]
        return np.asarray(best, np.int64)


def assign(features: F32, centroids: F32) -> NDArray[np.unsignedinteger]:
    """`Centroids(centroids).assign(features)`."""
    return Centroids(centroids).assign(features)


def squared_lengths(block: NDArray[Any]) -> F64:
    """|x|^2 of each row, in float64; what it gives for a row does not depend on the others."""
    wide = block.astype(np.float64)
    np.square(wide, out=wide)
    return np.asarray(wide.sum(axis=1))


def perplexity(counts: NDArray[np.int64]) -> float:
    """exp of the entropy of the unit distribution: k where all are equally frequent, 1 where there is only one."""
    p = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(p * np.log(p)).sum())) if len(p) else 0.0
