"""Where k-means starts: frames drawn at random, or k-means++.

Both draw by the keys of the frames, so what they choose depends on no order of rows, no block and no thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import salted, unit_interval
from speechprep.tokenizers.kmeans.frames import Block, Subset
from speechprep.tokenizers.kmeans.lloyd import Threads
from speechprep.tokenizers.kmeans.nearest import F32, F64, Centroids, Finder

ROUNDS = 16  # of k-means++

Keys = NDArray[np.uint64]
Take = Callable[[NDArray[np.int64]], F32]


def random_frames(rows: NDArray[np.int64], keys: Keys, k: int, take: Take) -> F32:
    """The k of `rows` whose `keys` (one for each row) are lowest, in the order of the keys."""
    return take(rows[_lowest(keys, k)])


def plus_plus(frames: Subset, keys: Keys, k: int, take: Take, threads: Threads, finder: Finder | None) -> F32:
    """k-means++ (Arthur and Vassilvitskii, 2007) in rounds: (k, dim) frames of the subset.

    A round draws some frames at once, without replacement, each with a chance in proportion to its squared distance to
    the nearest of those drawn before: as in k-means|| (Bahmani et al., arXiv 1203.6402), but of a set size, so nothing
    is to be clustered again. The number drawn doubles up to k / `ROUNDS`; with k below that it is plain k-means++. The
    draw is a race of exponential clocks (Efraimidis and Spirakis, 2006): the frames with the least -ln(u) / weight,
    which needs no running sum over the frames. Distances are made in float64 to the exactly nearest centroid.
    """
    squared = np.full(len(frames), np.inf)
    drawn = _lowest(keys, 1)
    last = drawn
    step = 1
    while len(drawn) < k:
        centres = Centroids(take(frames.rows[last]), finder)

        def work(block: Block, centres: Centroids = centres) -> None:
            apart = block.data.astype(np.float64) - centres.centroids[centres.nearest(block)]
            mine = slice(block.start, block.stop)
            np.minimum(squared[mine], (apart * apart).sum(axis=1), out=squared[mine])

        threads.over(frames, work)
        squared[drawn] = 0  # exactly, so that no frame is drawn twice
        clocks = _exponential(salted(keys, step))
        with np.errstate(divide="ignore"):
            race = np.where(squared > 0, clocks / squared, np.inf)
        race[drawn] = np.nan  # sorts behind all others, equal frames at a distance of 0 before them
        wanted = min(k - len(drawn), len(drawn), max(1, k // ROUNDS))
        last = np.lexsort((keys, race))[:wanted]
        drawn = np.concatenate([drawn, last])
        step += 1
    return take(frames.rows[drawn])


def _lowest(keys: Keys, k: int) -> NDArray[np.int64]:
    return np.argsort(keys, kind="stable")[:k]


def _exponential(bits: Keys) -> F64:
    return np.asarray(-np.log1p(-unit_interval(bits)))
