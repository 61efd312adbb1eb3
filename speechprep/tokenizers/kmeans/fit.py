"""K-means: frames -> centroids. Exact, out of core, resumable by iteration, the same bytes on any machine.

    fit = KMeans(iterations=11).fit(frames, k=500, seed=0)          # frames: (n, dim) array, memory map or FrameFile

The iteration is Lloyd's (`lloyd`), with two accelerations. `progressive=False` switches both off.

* A subset. Where a quarter of the frames is ample, the iterations are made on that, the frames with the lowest keys,
  and half as many again on all; else all are made on all. What was done on how many frames is in `KMeansFit.schedule`;
  the last iterations and the final assignment are always made on all.
* Over-relaxation. A centroid goes `RELAXATION` times the way to the mean of its frames. By the frames it has now, that
  is better than where it was for any factor below 2, so the inertia never rises; and it is faster along the flat
  directions in which k-means spends most of its iterations. The last steps are shorter, the very last goes to the mean.

Keys are random numbers that belong to the frames. They decide which frames start, which are in a subset, and how an
empty unit is filled. Where the caller gives keys made from names (`cluster` does), the order of the frames changes
nothing; otherwise they are made from the row numbers and the seed.

A GPU, where there is one, proposes nearest centroids and changes nothing in the result: see `finders`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import record_keys, salted
from speechprep.tokenizers.kmeans import seeding
from speechprep.tokenizers.kmeans.frames import Subset
from speechprep.tokenizers.kmeans.lloyd import Lloyd, Threads, measure
from speechprep.tokenizers.kmeans.nearest import F32, Finder
from speechprep.tokenizers.kmeans.state import Checkpoint, KMeansFit, Progress, Saved

RELAXATION = 1.9  # of a step, but for the last two
LANDING = 1.4  # of the last but one; the last goes to the mean
PART = 4  # the subset is one in so many frames
AMPLE_FRAMES = 400  # for each unit, in the subset: a sample whose subset had fewer is not divided
BLOCK = 2048  # frames worked on at once by a thread
GPU_BLOCK = 32_768

Init = Literal["random", "kmeans++"]
Device = Literal["auto", "cpu", "gpu"]
Keys = NDArray[np.uint64]


Said = Callable[[Progress], None]


class KMeans:
    """K-means by Lloyd's algorithm.

    Args:
        iterations: of the first phase; see `schedule`.
        restarts: whole runs from other starting points; the one of least inertia is kept.
        init: "random" frames, or "kmeans++" (`seeding`), both of the first subset.
        device: "auto" takes a GPU where torch or FAISS sees one; "gpu" demands one.
        progressive: see the module's text.
        threads, block: how the work is cut. Neither changes the result, nor does `device`.
        finder: who proposes nearest centroids, instead of what `device` says.
    """

    def __init__(
        self,
        iterations: int = 11,
        restarts: int = 1,
        init: Init = "random",
        device: Device = "auto",
        *,
        progressive: bool = True,
        threads: int | None = None,
        block: int | None = None,
        finder: Finder | None = None,
    ) -> None:
        if iterations < 1 or restarts < 1:
            raise ConfigError(f"k-means: iterations = {iterations}, restarts = {restarts}; both must be at least 1")
        if init not in ("random", "kmeans++") or device not in ("auto", "cpu", "gpu"):
            raise ConfigError(f"k-means: init = {init!r} of random, kmeans++; device = {device!r} of auto, cpu, gpu")
        self.iterations = iterations
        self.restarts = restarts
        self.init: Init = init
        self.device = device
        self.progressive = progressive
        self._threads, self._block, self._finder = threads, block, finder

    def identity(self) -> dict[str, Any]:
        """Name and every parameter that can change the centroids."""
        return {
            "name": "kmeans",
            "iterations": self.iterations,
            "restarts": self.restarts,
            "init": self.init,
            "progressive": self.progressive,
        }

    def load(self) -> None:
        """Nothing is needed beside NumPy and SciPy; a GPU is looked for when a fit begins."""

    def fit(
        self,
        frames: Any,
        k: int,
        seed: int,
        *,
        keys: Keys | None = None,
        checkpoint: Checkpoint | None = None,
        said: Said | None = None,
    ) -> KMeansFit:
        """Cluster `frames`, (n, d) float32, into `k` units.

        Args:
            frames: an array, a memory map, or a `FrameFile`; only blocks of it are held.
            k: units.
            seed: of the keys, where none are given.
            keys: (n,) random numbers that belong to the frames.
            checkpoint: where to keep the state after each iteration, and to go on from.
            said: told after each iteration.

        Raises:
            ConfigError: more units than frames, frames that are not finite, a GPU asked for that is not there.
        """
        n = len(frames)
        if not 1 <= k <= n:
            raise ConfigError(f"k = {k} units cannot be made of {n} sampled frames; lower k or raise max_frames")
        if keys is None:
            keys = salted(record_keys(seed, "k-means", [""]) + np.arange(n).astype(np.uint64), 0)
        finder, device = self._find()
        job = _Job(
            frames=frames,
            k=k,
            keys=keys,
            phases=schedule(n, k, self.iterations, progressive=self.progressive),
            block=self._block or (GPU_BLOCK if device == "gpu" else BLOCK),
            finder=finder,
            relaxed=self.progressive,
        )
        state = checkpoint.load() if checkpoint else Saved()
        with Threads(self._threads) as threads:
            job.begin(threads)
            best = self._restarts(job, state, checkpoint, said)
        assert state.best is not None  # noqa: S101 - there is at least one restart
        return KMeansFit(
            centroids=state.best,
            inertia=state.best_inertia,
            final_inertia=state.best_final,
            counts=best.sums.counts,
            units=best.units,
            schedule=job.phases,
            frames_used=len(best.units),
            frames_seen=n,
            device=device,
        )

    def _restarts(self, job: _Job, state: Saved, checkpoint: Checkpoint | None, said: Said | None) -> Lloyd:
        """Makes the runs that are left; gives all frames with the units of the best, whose rest is in `state`."""
        best: Lloyd | None = None
        while state.restart < self.restarts:
            lloyd = job.lloyd()
            for step in self._steps(job, lloyd, state):
                if checkpoint:
                    checkpoint.save(state)
                if said:
                    said(step)
            assert state.centroids is not None  # noqa: S101 - a restart has at least one iteration
            final = job.assign(lloyd, len(job.keys), state.centroids)
            if state.best is None or final < state.best_final:
                state.best, state.best_final, state.best_inertia = state.centroids, final, state.inertia
                best = lloyd
            state.restart, state.step, state.inertia, state.centroids = state.restart + 1, 0, [], None
            if checkpoint:
                checkpoint.save(state)
        assert state.best is not None  # noqa: S101 - there is at least one restart
        if best is None:  # made before the fit was taken up again
            best = job.lloyd()
            job.assign(best, len(job.keys), state.best)
        return best

    def _find(self) -> tuple[Finder | None, str]:
        if self._finder is not None or self.device == "cpu":
            return self._finder, "cpu"
        from speechprep.tokenizers.kmeans.gpu import gpu_finder

        found = gpu_finder()
        if found is None and self.device == "gpu":
            raise ConfigError(
                "k-means: device = 'gpu', but neither torch nor FAISS sees one; install them with CUDA or choose 'auto'"
            )
        return found, "gpu" if found else "cpu"

    def _steps(self, job: _Job, lloyd: Lloyd, state: Saved) -> Iterator[Progress]:
        """Goes on with the restart that is under way; yields after each iteration, when `state` is that after it."""
        if state.centroids is None:
            state.centroids = job.start(self.init, state.restart)
        plan = [size for size, times in job.phases for _ in range(times)]
        while state.step < len(plan):
            size, number = plan[state.step], state.step + 1
            before = state.centroids
            state.inertia.append(job.assign(lloyd, size, before))
            state.centroids = job.move(lloyd, before, left=len(plan) - number)
            # A fixed point: what is left to do on these frames would change nothing.
            still = np.array_equal(state.centroids, before)
            state.step = plan.index(plan[-1], number) if still and size != plan[-1] else len(plan) if still else number
            yield Progress(state.restart, number, len(plan), size, state.inertia[-1])


@dataclass
class _Job:
    """What does not change during a fit, and the pieces of work that it is made of."""

    frames: Any
    k: int
    keys: Keys
    phases: list[tuple[int, int]]
    block: int
    finder: Finder | None
    relaxed: bool

    def begin(self, threads: Threads) -> None:
        """Choose the subsets and look at all frames once."""
        order = np.argsort(self.keys, kind="stable") if len(self.phases) > 1 else np.arange(len(self.keys))
        self.subsets = {size: Subset(self.frames, np.sort(order[:size]), self.block) for size, _ in self.phases}
        self.threads = threads
        self.everything = self.subsets[len(self.keys)]
        self.lengths = measure(self.everything, threads)
        self._size = 0

    def lloyd(self) -> Lloyd:
        """A run that knows of no unit yet."""
        return Lloyd(self.k, self.frames.shape[1], self.keys, self.lengths, self.threads, self.finder)

    def take(self, rows: NDArray[np.int64]) -> F32:
        """These frames."""
        return np.ascontiguousarray(self.frames[rows], np.float32)

    def start(self, init: Init, restart: int) -> F32:
        """Centroids to begin with."""
        first = self.subsets[self.phases[0][0]]
        keys = salted(self.keys[first.rows], restart)
        if init == "random":
            return seeding.random_frames(first.rows, keys, self.k, self.take)
        return seeding.plus_plus(first, keys, self.k, self.take, self.threads, self.finder)

    def assign(self, lloyd: Lloyd, size: int, centroids: F32) -> float:
        """Give the frames of a subset their nearest centroids; returns the mean squared distance."""
        if self.finder is not None and size != self._size:
            self.finder.forget()
        self._size = size
        lloyd.assign(self.subsets[size], centroids)
        return lloyd.sums.inertia(centroids.astype(np.float64)) / size

    def move(self, lloyd: Lloyd, centroids: F32, *, left: int) -> F32:
        """The centroids after an iteration, when so many are left to do: over-relaxed, or at the means."""
        means, filled = lloyd.update(centroids, self.take)
        if not left or not self.relaxed:
            return means.astype(np.float32)
        further = centroids + (RELAXATION if left > 1 else LANDING) * (means - centroids)
        further[filled] = means[filled]
        return further.astype(np.float32)


def schedule(n: int, k: int, iterations: int, *, progressive: bool = True) -> list[tuple[int, int]]:
    """(frames, iterations) of each phase; the frames of the last are all n.

    Where a quarter of the frames is at least `AMPLE_FRAMES` for each unit, the iterations are made on that, and half as
    many on all frames after them; else on all frames. Smaller subsets were measured to end in worse minima, which more
    iterations on all frames do not mend: see docs/decisions/0008.
    """
    part = n // PART
    if not progressive or part < AMPLE_FRAMES * k:
        return [(n, iterations)]
    return [(part, iterations), (n, -(-iterations // 2))]
