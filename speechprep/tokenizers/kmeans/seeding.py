"""Initial centroids of k-means: random frames, or k-means++.

Both draw by the keys of the frames, so the result is independent of the row order, the blocks and the threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import salted, unit_interval
from speechprep.tokenizers.kmeans.frames import Block, Subset
from speechprep.tokenizers.kmeans.lloyd import Threads
from speechprep.tokenizers.kmeans.nearest import F32, F64, Centroids, CentroidSearch

ROUNDS = 16  # rounds of k-means++

Keys = NDArray[np.uint64]
Take = Callable[[NDArray[np.int64]], F32]


def random_frames(rows: NDArray[np.int64], keys: Keys, k: int, take: Take) -> F32:
    """The frames of the k rows with the lowest `keys` (one for each row), in the order of the keys."""
    return take(rows[_lowest(keys, k)])


def plus_plus(frames: Subset, keys: Keys, k: int, take: Take, threads: Threads, search: CentroidSearch | None) -> F32:
    """k-means++ (Arthur and Vassilvitskii, 2007) in rounds: (k, dim) frames of the subset.

    A round draws several frames without replacement. The probability of a frame is proportional to its squared distance
    to the nearest frame drawn before. Unlike k-means|| (Bahmani et al., arXiv 1203.6402), the number of frames in a
    round is fixed, so no second clustering is needed. It doubles up to k / `ROUNDS`; for k below 2 * `ROUNDS` it is
    always 1, and the method is plain k-means++. The draw is a race of exponential clocks (Efraimidis and Spirakis,
    2006): it takes the frames with the lowest -ln(u) / weight and needs no cumulative sum over the frames. Distances
    are computed in float64 to the exact nearest centroid.
    """
    squared = np.full(len(frames), np.inf)
    drawn = _lowest(keys, 1)
    last = drawn
    step = 1
    while len(drawn) < k:
        centres = Centroids(take(frames.rows[last]), search)

        def work(block: Block, centres: Centroids = centres) -> None:
            difference = block.data.astype(np.float64) - centres.centroids[centres.nearest(block)]
            rows = slice(block.start, block.stop)
            np.minimum(squared[rows], (difference * difference).sum(axis=1), out=squared[rows])

        threads.over(frames, work)
        squared[drawn] = 0  # exactly 0, so that no frame is drawn twice
        clocks = _exponential(salted(keys, step))
        with np.errstate(divide="ignore"):
            race = np.where(squared > 0, clocks / squared, np.inf)
        race[drawn] = np.nan  # NaN sorts last, after frames at distance 0
        count = min(k - len(drawn), len(drawn), max(1, k // ROUNDS))
        last = np.lexsort((keys, race))[:count]
        drawn = np.concatenate([drawn, last])
        step += 1
    return take(frames.rows[drawn])


def _lowest(keys: Keys, k: int) -> NDArray[np.int64]:
    return np.argsort(keys, kind="stable")[:k]


def _exponential(bits: Keys) -> F64:
    return np.asarray(-np.log1p(-unit_interval(bits)))
