"""Nearest centroid of each frame: the units of speech. `fit` computes the centroids.

A unit is the index of the nearest centroid in exact arithmetic (float64), the lowest index among equals. A matrix
product in float32 proposes it. The last bits of the product depend on the BLAS library, the number of threads and the
shape of the batch. If the second best score lies within the bound of the rounding error, the frame is compared again in
float64. The unit of a frame therefore depends neither on the other frames nor on the machine.

A `CentroidSearch` computes the float32 products: NumPy here, a GPU in `gpu`. A backend only proposes a centroid, and
its error bound decides which frames are compared again. All backends give equal units.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.kmeans.frames import Block
from speechprep.tokenizers.kmeans.transform import FrameTransform

BLOCK_BYTES = 8 << 20  # size of one block of scores
UNIT_ROUNDOFF = 2.0**-24  # float32
UNIT_ROUNDOFF_WIDE = 2.0**-53  # float64
SAFETY_FACTOR = 4  # error bounds between two scores: one for each score, doubled for safety

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Lengths = TypeVar("Lengths")
Top2 = tuple[NDArray[np.int64], F32, F32]


class CentroidSearch(Protocol):
    """Search backend: proposes the nearest centroid of each frame."""

    def prepare(self, centroids: F32, half: F32) -> None:
        """Store the centroids (k, dim) and half of their squared lengths (k,)."""

    def top2(self, block: Block) -> Top2:
        """For each frame x of (m, dim): the centroid c with the lowest score, that score, and the second lowest score.

        The score is `half[c] - x . centroid[c]`. A constant for each row may be added to its scores, for example
        |x|^2 / 2. With one centroid, the second score is infinite.
        """

    def clear_cache(self) -> None:
        """Free cached blocks: they will not be used again."""

    def error_bound(self, norms: F64, norm: float, dim: int) -> F64:
        """(m,) bound of the error of a score, except the constant of its row, for each |x| and the largest |c|."""


class NumpySearch:
    """Default search backend: a matrix product by BLAS."""

    def prepare(self, centroids: F32, half: F32) -> None:
        """See `CentroidSearch`."""
        self._half = half
        self._transposed = np.ascontiguousarray(centroids.T)

    def top2(self, block: Block) -> Top2:
        """See `CentroidSearch`."""
        scores = block.data @ self._transposed
        np.subtract(self._half, scores, out=scores)
        best = scores.argmin(axis=1)
        rows = np.arange(len(block))
        lowest = scores[rows, best]
        scores[rows, best] = np.inf
        return best, lowest, scores.min(axis=1)

    def clear_cache(self) -> None:
        """Nothing is cached."""

    def error_bound(self, norms: F64, norm: float, dim: int) -> F64:
        """See `CentroidSearch`."""
        return product_error(norms, norm, dim, UNIT_ROUNDOFF)


def product_error(norms: Lengths, norm: float, dim: int, roundoff: float) -> Lengths:
    """Bound of the rounding error of `half - x . c`, for any order of summation and with `half` rounded once.

    The error of a dot product of length d is at most about d * u * |x| |c| (Higham, Accuracy and Stability of Numerical
    Algorithms, section 3.5). The other terms are a few u (|c|^2 + |x|^2). `norms`, the |x|, is a float64 array or
    tensor, `norm` the largest |c|, and `roundoff` the u of the arithmetic.
    """
    x: Any = norms
    bound: Lengths = roundoff * ((dim + 4) * x * norm + 2 * (norm**2 + x**2))
    return bound


class Centroids:
    """Nearest-centroid assignment for `k` centroids of `dim` values, with precomputed lengths.

    Args:
        centroids: (k, dim) float32.
        search: the search backend; None: NumPy.
        transform: centring and scaling of the frames before the search, applied by `assign`; None: neither.
    """

    def __init__(
        self, centroids: F32, search: CentroidSearch | None = None, transform: FrameTransform | None = None
    ) -> None:
        self.transform = transform or FrameTransform()
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self.k, self.dim = self.centroids.shape
        self._wide = self.centroids.astype(np.float64)
        self._half_wide = 0.5 * (self._wide**2).sum(axis=1)
        self._norm = float(np.sqrt(2 * self._half_wide.max()))
        self._search = NumpySearch() if search is None else search
        self._search.prepare(self.centroids, self._half_wide.astype(np.float32))
        self._rows = max(BLOCK_BYTES // (4 * self.k), 16)
        self.dtype: type[np.uint16] | type[np.uint32] = np.uint16 if self.k <= 1 << 16 else np.uint32

    @classmethod
    def of(cls, codebook: Any) -> Centroids:
        """The centroids of a codebook (`artifacts.codebook.Codebook`), with its centring and scaling."""
        return cls(codebook.centroids, transform=FrameTransform(codebook.means, codebook.scale))

    def assign(self, features: F32, positions: NDArray[np.int64] | None = None) -> NDArray[np.unsignedinteger]:
        """(n, dim) float32 -> (n,) unit ids, uint16 up to 65,536 units, otherwise uint32.

        Args:
            features: frames as the extractor returns them.
            positions: (n,) number of each frame in the window of the model; needed only if the frames are centred.

        Raises:
            ConfigError: the features have a different dimension, or `positions` is needed and None.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ConfigError(
                f"features of shape {features.shape}, but the codebook has {self.dim} dimensions; use its own extractor"
            )
        units = np.empty(len(features), self.dtype)
        for start in range(0, len(features), self._rows):
            rows = slice(start, start + self._rows)
            frames = self.transform(features[rows], None if positions is None else positions[rows])
            block = Block.of(np.ascontiguousarray(frames, np.float32))
            units[start : start + len(block)] = self.nearest(block)
        return units

    def nearest(self, block: Block, norms: F64 | None = None) -> NDArray[np.int64]:
        """(m,) unit ids of one block. `norms`: lengths of the rows (m,), computed if None."""
        best, lowest, runner_up = self._search.top2(block)
        if norms is None:
            norms = np.sqrt(squared_lengths(block.data))
        close = np.flatnonzero(
            runner_up - lowest <= SAFETY_FACTOR * self._search.error_bound(norms, self._norm, self.dim)
        )
        if len(close):
            best[close] = self._wide_nearest(block.data[close], norms[close])
        return best

    def _wide_nearest(self, block: F32, norms: F64) -> NDArray[np.int64]:
        """Exact search in float64: all scores, then |x - c|^2 for the centroids still within the error bound."""
        wide = block.astype(np.float64)
        scores = self._half_wide - wide @ self._wide.T
        limit = scores.min(axis=1) + SAFETY_FACTOR * product_error(norms, self._norm, self.dim, UNIT_ROUNDOFF_WIDE)
        candidates = scores <= limit[:, None]
        best = candidates.argmax(axis=1)
        for row in np.flatnonzero(candidates.sum(axis=1) > 1):
            tied = np.flatnonzero(candidates[row])
            difference = self._wide[tied] - wide[row]
            best[row] = tied[(difference * difference).sum(axis=1).argmin()]
        return np.asarray(best, np.int64)


def assign(features: F32, centroids: F32) -> NDArray[np.unsignedinteger]:
    """`Centroids(centroids).assign(features)`."""
    return Centroids(centroids).assign(features)


def squared_lengths(block: NDArray[Any]) -> F64:
    """(n,) |x|^2 of each row in float64, independent of the other rows."""
    wide = block.astype(np.float64)
    np.square(wide, out=wide)
    return np.asarray(wide.sum(axis=1))


def perplexity(counts: NDArray[np.int64]) -> float:
    """exp of the entropy of the unit distribution: k if all k units are equally frequent, 1 if only one occurs."""
    p = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(p * np.log(p)).sum())) if len(p) else 0.0
