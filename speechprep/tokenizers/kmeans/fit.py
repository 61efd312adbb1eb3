"""K-means clustering of frames: exact, out of core, resumable after each iteration, equal bytes on every machine.

    fit = KMeans(iterations=11).fit(frames, k=500, seed=0)          # frames: (n, dim) array, memory map or FrameFile

The iteration is Lloyd's (`lloyd`) with two accelerations. `progressive=False` switches both off.

* A subset. If a quarter of the frames holds `AMPLE_FRAMES` for each unit, the iterations run on the quarter with the
  lowest keys, followed by half as many on all frames. Otherwise all iterations run on all frames. `KMeansFit.schedule`
  lists the phases. The last phase and the final assignment always use all frames.
* Over-relaxation. A centroid moves `RELAXATION` times the way to the mean of its frames. For the frames assigned to it,
  any factor below 2 reduces the squared error, so the inertia never rises. Over-relaxation is faster along the flat
  directions in which k-means spends most of its iterations. The last step but one is shorter, and the last step moves
  each centroid to the mean.

Keys are random numbers attached to the frames. They decide which frames start, which are in the subset, and how an
empty unit is filled. If the caller passes keys derived from utterance ids (as `cluster` does), the order of the frames
does not change the result. Otherwise keys are derived from the row numbers and the seed.

A GPU only proposes nearest centroids (`gpu`). It does not change the result.
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
from speechprep.tokenizers.kmeans.nearest import F32, CentroidSearch
from speechprep.tokenizers.kmeans.state import Checkpoint, FitState, KMeansFit, Progress

RELAXATION = 1.9  # factor of all steps except the last two
LAST_RELAXATION = 1.4  # factor of the last step but one; the factor of the last step is 1
SUBSET_DIVISOR = 4  # the subset holds one in 4 frames
AMPLE_FRAMES = 400  # frames for each unit in the subset; with fewer, there is no subset
BLOCK = 2048  # frames in one piece of work of a thread
GPU_BLOCK = 32_768  # the same with a GPU

Init = Literal["random", "kmeans++"]
Device = Literal["auto", "cpu", "gpu"]
Keys = NDArray[np.uint64]

OnIteration = Callable[[Progress], None]


class KMeans:
    """K-means by Lloyd's algorithm.

    Args:
        iterations: number of iterations of the first phase; see `schedule`.
        restarts: number of complete runs from different starting points; the run with the lowest inertia is kept.
        init: "random" frames or "kmeans++" (`seeding`), both from the first subset.
        device: "auto" uses a GPU if torch or FAISS finds one, "gpu" requires one, "cpu" uses none.
        progressive: use a subset and over-relaxation; see the module docstring.
        threads: number of threads; None: the usable cores.
        block: frames in one piece of work. Threads, block and device do not change the result.
        search: the search backend for nearest centroids; None: chosen by `device`.

    Raises:
        ConfigError: an option is out of range.
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
        search: CentroidSearch | None = None,
    ) -> None:
        if iterations < 1 or restarts < 1:
            raise ConfigError(f"k-means: iterations = {iterations}, restarts = {restarts}; set both to at least 1")
        if init not in ("random", "kmeans++") or device not in ("auto", "cpu", "gpu"):
            raise ConfigError(
                f"k-means: init = {init!r}, device = {device!r}; "
                "set init to random or kmeans++, and device to auto, cpu or gpu"
            )
        self.iterations = iterations
        self.restarts = restarts
        self.init: Init = init
        self.device = device
        self.progressive = progressive
        self._threads, self._block, self._search = threads, block, search

    def identity(self) -> dict[str, Any]:
        """Name, and all parameters with an effect on the centroids."""
        return {
            "name": "kmeans",
            "iterations": self.iterations,
            "restarts": self.restarts,
            "init": self.init,
            "progressive": self.progressive,
        }

    def load(self) -> None:
        """Nothing to load: NumPy and SciPy are installed, and `fit` looks for a GPU."""

    def fit(
        self,
        frames: Any,
        k: int,
        seed: int,
        *,
        keys: Keys | None = None,
        checkpoint: Checkpoint | None = None,
        on_iteration: OnIteration | None = None,
    ) -> KMeansFit:
        """Cluster `frames`, (n, dim) float32, into `k` units.

        Args:
            frames: array, memory map or `FrameFile`; only blocks of it are in memory.
            k: number of units.
            seed: seed of the keys if `keys` is None.
            keys: (n,) uint64, a random number for each frame.
            checkpoint: stores the state after each iteration; a fit with a stored state resumes from it.
            on_iteration: called with a `Progress` after each iteration.

        Raises:
            ConfigError: more units than frames, a value that is not finite, or no GPU with device "gpu".
        """
        n = len(frames)
        if not 1 <= k <= n:
            raise ConfigError(f"k = {k} units cannot be made of {n} sampled frames; lower k or raise max_frames")
        if keys is None:
            keys = salted(record_keys(seed, "k-means", [""]) + np.arange(n).astype(np.uint64), 0)
        search, device = self._choose_search()
        job = _Job(
            frames=frames,
            k=k,
            keys=keys,
            phases=schedule(n, k, self.iterations, progressive=self.progressive),
            block=self._block or (GPU_BLOCK if device == "gpu" else BLOCK),
            search=search,
            relaxed=self.progressive,
        )
        state = checkpoint.load() if checkpoint else FitState()
        with Threads(self._threads) as threads:
            job.begin(threads)
            best = self._restarts(job, state, checkpoint, on_iteration)
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

    def _restarts(
        self, job: _Job, state: FitState, checkpoint: Checkpoint | None, on_iteration: OnIteration | None
    ) -> Lloyd:
        """Run the remaining restarts; the result is the assignment of the best one, with its centroids in `state`."""
        best: Lloyd | None = None
        while state.restart < self.restarts:
            lloyd = job.lloyd()
            for step in self._steps(job, lloyd, state):
                if checkpoint:
                    checkpoint.save(state)
                if on_iteration:
                    on_iteration(step)
            assert state.centroids is not None  # noqa: S101 - a restart has at least one iteration
            final = job.assign(lloyd, len(job.keys), state.centroids)
            if state.best is None or final < state.best_final:
                state.best, state.best_final, state.best_inertia = state.centroids, final, state.inertia
                best = lloyd
            state.restart, state.step, state.inertia, state.centroids = state.restart + 1, 0, [], None
            if checkpoint:
                checkpoint.save(state)
        assert state.best is not None  # noqa: S101 - there is at least one restart
        if best is None:  # the best restart ended before the fit was resumed
            best = job.lloyd()
            job.assign(best, len(job.keys), state.best)
        return best

    def _choose_search(self) -> tuple[CentroidSearch | None, str]:
        if self._search is not None or self.device == "cpu":
            return self._search, "cpu"
        from speechprep.tokenizers.kmeans.gpu import gpu_search

        search = gpu_search()
        if search is None and self.device == "gpu":
            raise ConfigError(
                "k-means: device = 'gpu', but neither torch nor FAISS finds a GPU; install one with CUDA or set 'auto'"
            )
        return search, "gpu" if search else "cpu"

    def _steps(self, job: _Job, lloyd: Lloyd, state: FitState) -> Iterator[Progress]:
        """Continue the current restart; yields after each iteration, with `state` updated."""
        if state.centroids is None:
            state.centroids = job.start(self.init, state.restart)
        plan = [size for size, times in job.phases for _ in range(times)]
        while state.step < len(plan):
            size, number = plan[state.step], state.step + 1
            before = state.centroids
            state.inertia.append(job.assign(lloyd, size, before))
            state.centroids = job.move(lloyd, before, left=len(plan) - number)
            # At a fixed point, the remaining iterations on these frames would change nothing.
            converged = np.array_equal(state.centroids, before)
            state.step = (
                plan.index(plan[-1], number) if converged and size != plan[-1] else len(plan) if converged else number
            )
            yield Progress(state.restart, number, len(plan), size, state.inertia[-1])


@dataclass
class _Job:
    """The constants of one fit, and its operations on frames."""

    frames: Any
    k: int
    keys: Keys
    phases: list[tuple[int, int]]
    block: int
    search: CentroidSearch | None
    relaxed: bool

    def begin(self, threads: Threads) -> None:
        """Select the subsets and measure all frames in one pass."""
        order = np.argsort(self.keys, kind="stable") if len(self.phases) > 1 else np.arange(len(self.keys))
        self.subsets = {size: Subset(self.frames, np.sort(order[:size]), self.block) for size, _ in self.phases}
        self.threads = threads
        self.all_frames = self.subsets[len(self.keys)]
        self.lengths = measure(self.all_frames, threads)
        self._size = 0

    def lloyd(self) -> Lloyd:
        """State of a run before any frame is assigned."""
        return Lloyd(self.k, self.frames.shape[1], self.keys, self.lengths, self.threads, self.search)

    def take(self, rows: NDArray[np.int64]) -> F32:
        """(len(rows), dim) float32: the frames at these rows."""
        return np.ascontiguousarray(self.frames[rows], np.float32)

    def start(self, init: Init, restart: int) -> F32:
        """(k, dim) initial centroids."""
        first = self.subsets[self.phases[0][0]]
        keys = salted(self.keys[first.rows], restart)
        if init == "random":
            return seeding.random_frames(first.rows, keys, self.k, self.take)
        return seeding.plus_plus(first, keys, self.k, self.take, self.threads, self.search)

    def assign(self, lloyd: Lloyd, size: int, centroids: F32) -> float:
        """Assign the frames of a subset to their nearest centroids; returns the mean squared distance."""
        if self.search is not None and size != self._size:
            self.search.clear_cache()
        self._size = size
        lloyd.assign(self.subsets[size], centroids)
        return lloyd.sums.inertia(centroids.astype(np.float64)) / size

    def move(self, lloyd: Lloyd, centroids: F32, *, left: int) -> F32:
        """(k, dim) centroids after an iteration with `left` iterations remaining: over-relaxed, or the means."""
        means, filled = lloyd.update(centroids, self.take)
        if not left or not self.relaxed:
            return means.astype(np.float32)
        further = centroids + (RELAXATION if left > 1 else LAST_RELAXATION) * (means - centroids)
        further[filled] = means[filled]
        return further.astype(np.float32)


def schedule(n: int, k: int, iterations: int, *, progressive: bool = True) -> list[tuple[int, int]]:
    """(frames, iterations) of each phase; the last phase uses all n frames.

    If a quarter of the frames holds at least `AMPLE_FRAMES` for each unit, the iterations run on the quarter, followed
    by half as many on all frames. Otherwise they run on all frames. In our measurements, smaller subsets ended in worse
    minima, and more iterations on all frames did not repair them: docs/decisions/0008.
    """
    part = n // SUBSET_DIVISOR
    if not progressive or part < AMPLE_FRAMES * k:
        return [(n, iterations)]
    return [(part, iterations), (n, -(-iterations // 2))]
