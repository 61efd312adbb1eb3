"""K-means over frames: `faiss` fits the centroids, `assign` gives each frame its unit.

A unit is the index of the nearest centroid in exact arithmetic (float64), the lowest index among equals. Matrix
products in float32 find it; their last bits depend on the BLAS library, the number of threads and the shape of the
batch, so wherever the runner-up is within the bound of the rounding error the few candidates are compared again in
float64, row by row. So a frame's unit does not depend on the frames beside it, nor on the machine.

`fit` never leaves frames out silently: FAISS takes 256 frames for each centroid at most unless told otherwise
(`max_points_per_centroid`), which is lifted here. On CPUs the centroids were found to be the same bits for any number
of threads (faiss 1.15); GPUs give others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.index import require_faiss
from speechprep.errors import ConfigError

BLOCK_BYTES = 8 << 20  # of one block of scores
UNIT_ROUNDOFF = 2.0**-24  # of float32

F32 = NDArray[np.float32]
Init = Literal["random", "kmeans++", "afk-mc2"]
Device = Literal["auto", "cpu", "gpu"]

_INIT = {
    "random": "ClusteringInitMethod_RANDOM",
    "kmeans++": "ClusteringInitMethod_KMEANS_PLUS_PLUS",
    "afk-mc2": "ClusteringInitMethod_AFK_MC2",
}


@dataclass(frozen=True)
class KMeansFit:
    """What a fit found.

    Attributes:
        centroids: (k, d) float32.
        inertia: mean squared distance of a frame to its centroid in each iteration, of the best run; a run that has
            converged ends early.
        final_inertia: the same with the final centroids, in float64.
        counts: (k,) frames of each unit in the sample.
        frames_used: frames k-means worked on; always all of `frames_seen`.
        device: "cpu" or "gpu".
    """

    centroids: F32
    inertia: list[float]
    final_inertia: float
    counts: NDArray[np.int64]
    frames_used: int
    frames_seen: int
    device: str


class FaissQuantizer:
    """K-means by FAISS.

    Args:
        iterations: of Lloyd's algorithm.
        restarts: whole runs from other starting points; the one of least inertia is kept.
        init: "random" frames, "kmeans++" or its approximation "afk-mc2" (both need a recent faiss).
        device: "auto" takes the GPUs where FAISS sees one.
    """

    def __init__(self, iterations: int = 25, restarts: int = 1, init: Init = "random", device: Device = "auto") -> None:
        if iterations < 1 or restarts < 1:
            raise ConfigError(f"k-means: iterations = {iterations}, restarts = {restarts}; both must be at least 1")
        if init not in _INIT or device not in ("auto", "cpu", "gpu"):
            raise ConfigError(f"k-means: init = {init!r} of {', '.join(_INIT)}; device = {device!r} of auto, cpu, gpu")
        self.iterations = iterations
        self.restarts = restarts
        self.init = init
        self.device = device

    def identity(self) -> dict[str, Any]:
        """Name and every parameter."""
        return {"name": "faiss", "iterations": self.iterations, "restarts": self.restarts, "init": self.init}

    def load(self) -> None:
        """Look for FAISS.

        Raises:
            MissingBackend: it is not installed.
        """
        require_faiss("k-means")

    def fit(self, sample: F32, k: int, seed: int) -> KMeansFit:
        """Cluster `sample` (n, d) float32 into `k` units.

        Raises:
            ConfigError: more units than frames, frames that are not finite, a GPU asked for that is not there.
            MissingBackend: FAISS is not installed.
        """
        faiss = require_faiss("k-means")
        n = len(sample)
        if not 1 <= k <= n:
            raise ConfigError(f"k = {k} units cannot be made of {n} sampled frames; lower k or raise max_frames")
        if not np.isfinite(sample).all():
            raise ConfigError("k-means: the sample holds NaN or infinity; look for damaged audio in its utterances")
        gpus = faiss.get_num_gpus() if self.device != "cpu" else 0
        if self.device == "gpu" and not gpus:
            raise ConfigError("k-means: device = 'gpu', but FAISS sees none; install speechprep[gpu] or choose 'auto'")
        if not hasattr(faiss, _INIT[self.init]) and self.init != "random":
            raise ConfigError(
                f"k-means: init = {self.init!r} is unknown to faiss {faiss.__version__}; upgrade it or choose 'random'"
            )
        # Not by FAISS's own nredo: in 1.15 it made fewer runs than asked for where runs converge early.
        runs = [self._run(faiss, sample, k, (seed + 7919 * i) & 0x7FFFFFFF, gpus > 0) for i in range(self.restarts)]
        return min(runs, key=lambda run: run.final_inertia)

    def _run(self, faiss: Any, sample: F32, k: int, seed: int, gpu: bool) -> KMeansFit:  # noqa: FBT001
        n, d = sample.shape
        options: dict[str, Any] = {} if self.init == "random" else {"init_method": getattr(faiss, _INIT[self.init])}
        kmeans = faiss.Kmeans(
            d,
            k,
            niter=self.iterations,
            seed=seed,
            max_points_per_centroid=n,  # never sub-sample
            min_points_per_centroid=1,  # a small sample is reported by the quality gate, not by a line on stderr
            gpu=gpu,  # decided by the caller: FAISS would fall back to the CPU without a word
            **options,
        )
        kmeans.train(sample)
        centroids = np.array(kmeans.centroids, np.float32)
        units = assign(sample, centroids)
        return KMeansFit(
            centroids=centroids,
            inertia=[float(x) / n for x in kmeans.obj],
            final_inertia=_inertia(sample, centroids, units),
            counts=np.bincount(units, minlength=k).astype(np.int64),
            frames_used=n,
            frames_seen=n,
            device="gpu" if gpu else "cpu",
        )


class Centroids:
    """Nearest-centroid assignment with what can be computed once. `k` units of `dim` values."""

    def __init__(self, centroids: F32) -> None:
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self.k, self.dim = self.centroids.shape
        wide = self.centroids.astype(np.float64)
        self._half = np.asarray(0.5 * (wide**2).sum(axis=1), np.float32)
        self._norm = float(np.sqrt((wide**2).sum(axis=1).max()))
        self._transposed = np.ascontiguousarray(self.centroids.T)
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
            block = features[start : start + self._rows]
            units[start : start + len(block)] = self._block(block)
        return units

    def _block(self, block: F32) -> NDArray[np.int64]:
        scores = block @ self._transposed
        np.subtract(self._half, scores, out=scores)  # |c|^2 / 2 - x.c, the distance but for |x|^2 / 2
        best = scores.argmin(axis=1)
        rows = np.arange(len(block))
        lowest = scores[rows, best]
        # |error| of a dot product of length d is at most about d * u * |x| |c|, of the rest 2 u (|c|^2 / 2 + |x| |c|);
        # twice that, because two scores are compared, and twice again to be safe.
        norms = np.sqrt((block.astype(np.float64) ** 2).sum(axis=1)) * self._norm
        slack = 4 * UNIT_ROUNDOFF * ((self.dim + 2) * norms + self._norm**2)
        scores[rows, best] = np.inf
        close = scores.min(axis=1) - lowest <= slack
        scores[rows, best] = lowest
        for row in np.flatnonzero(close):
            candidates = np.flatnonzero(scores[row] <= lowest[row] + slack[row])
            wide = self.centroids[candidates].astype(np.float64) - block[row].astype(np.float64)
            best[row] = candidates[(wide * wide).sum(axis=1).argmin()]
        return np.asarray(best, np.int64)


def assign(features: F32, centroids: F32) -> NDArray[np.unsignedinteger]:
    """`Centroids(centroids).assign(features)`."""
    return Centroids(centroids).assign(features)


def perplexity(counts: NDArray[np.int64]) -> float:
    """exp of the entropy of the unit distribution: k where all are equally frequent, 1 where there is only one."""
    p = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(p * np.log(p)).sum())) if len(p) else 0.0


def _inertia(sample: F32, centroids: F32, units: NDArray[Any]) -> float:
    total = 0.0
    for start in range(0, len(sample), 4096):
        block = slice(start, start + 4096)
        total += float(((sample[block].astype(np.float64) - centroids[units[block]]) ** 2).sum())
    return total / len(sample)
