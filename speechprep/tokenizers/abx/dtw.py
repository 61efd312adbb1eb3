"""Distance of two segments of units: dynamic time warping (DTW), normalised by the length of its path.

The cost of a path is the sum of the distances of its pairs of frames. A path begins with the first frames of both
segments, ends with the last ones, and steps by one frame in the first, the second or both segments. The distance is
the cost of the cheapest path, divided by its number of pairs. Of several cheapest paths, the shortest one counts, so
the distance is symmetric. (Libri-light follows one of these paths backwards, diagonal steps first.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PAIRS = 1 << 15  # segment pairs computed together

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Units = NDArray[np.unsignedinteger]
FrameDistance = Callable[[Units, Units], F64]
"""Distances (n,) of the frames with units (n,) and (n,)."""


def one_hot(a: Units, b: Units) -> F64:
    """Angular distance of one-hot vectors: 0 for equal units, 0.5 for different ones."""
    return np.where(a == b, 0.0, 0.5)


class AngularDistance:
    """Angular distance of centroids, arccos(cosine) / pi, from 0 to 1.

    Args:
        centroids: (k, dim) float32. A centroid of length 0 has the distance 0.5 from all others. The table of all
            distances needs 4 k^2 bytes.
    """

    def __init__(self, centroids: F32) -> None:
        wide = centroids.astype(np.float64)
        lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
        directions = wide / np.where(lengths > 0, lengths, 1.0)
        # Sums of products instead of a matrix product: its bits depend on the library and its threads.
        cosines = np.stack([(directions * direction).sum(axis=1) for direction in directions])
        self._table = (np.arccos(np.clip(cosines, -1.0, 1.0)) / np.pi).astype(np.float32)
        np.fill_diagonal(self._table, 0.0)

    def __call__(self, a: Units, b: Units) -> F64:
        """See `FrameDistance`."""
        return np.asarray(self._table[a, b], np.float64)


def segment_distances(units: Units, offsets: I64, left: I64, right: I64, distance: FrameDistance) -> F64:
    """(m,) distances of the segments `left[i]` and `right[i]`.

    Args:
        units: (n,) units of all segments, one after the other.
        offsets: (segments + 1,) start of each segment; no segment is empty.
        left, right: (m,) numbers of segments.
        distance: of two frames.
    """
    lengths = np.diff(offsets)
    order = np.lexsort((lengths[right], lengths[left]))  # little padding in each block
    result = np.empty(len(left))
    for start in range(0, len(order), PAIRS):
        block = order[start : start + PAIRS]
        result[block] = _block(units, offsets, left[block], right[block], distance)
    return result


def _block(units: Units, offsets: I64, left: I64, right: I64, distance: FrameDistance) -> F64:
    """`segment_distances`, all pairs at once: the cells of the padding come after the last cell of a pair."""
    starts = offsets[:-1]
    lengths = np.diff(offsets)
    rows, columns = lengths[left], lengths[right]
    height, width = int(rows.max()), int(columns.max())
    last = len(units) - 1
    a = [units[np.minimum(starts[left] + i, last)] for i in range(height)]
    b = [units[np.minimum(starts[right] + j, last)] for j in range(width)]
    result = np.empty(len(left))
    cost = np.full((width + 1, len(left)), np.inf)
    steps = np.zeros((width + 1, len(left)))
    for i in range(height):
        diagonal, diagonal_steps = cost[0].copy(), steps[0].copy()
        if i == 0:
            diagonal[:] = 0.0
        cost[0] = np.inf
        for j in range(width):
            best, length = diagonal, diagonal_steps
            for other, other_steps in ((cost[j + 1], steps[j + 1]), (cost[j], steps[j])):
                better = (other < best) | ((other == best) & (other_steps < length))
                best, length = np.where(better, other, best), np.where(better, other_steps, length)
            diagonal, diagonal_steps = cost[j + 1].copy(), steps[j + 1].copy()
            cost[j + 1], steps[j + 1] = best + distance(a[i], b[j]), length + 1
        ending = np.flatnonzero(rows == i + 1)
        at = columns[ending]
        result[ending] = cost[at, ending] / steps[at, ending]
    return result
