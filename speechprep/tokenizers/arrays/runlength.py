"""Units at frame rate <-> units without repeats and the frames that each one lasts, for whole shards at once.

Segments (words, utterances) lie in flat arrays with offsets; a run never crosses a segment border, so that segments
can be cut, encoded and put together again without touching each other.

>>> values, durations = dedup(np.array([7, 7, 7, 2, 2, 7], dtype=np.uint16))
>>> values.tolist(), durations.tolist()
([7, 2, 7], [3, 2, 1])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.ragged import offsets_of

MAX_RUN = 65_535  # frames that a uint16 duration can hold: 10.9 min at 100 frames/s


def dedup(units: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """(n,) unit of each frame -> values (m,), durations (m,) in frames.

    A run longer than `MAX_RUN` frames (four hours of digital silence are 1.4 million at 100 frames/s) stands as several
    entries of the same unit, so `expand(*dedup(units))` gives back `units` whatever they are.
    """
    values, durations, _ = dedup_ragged(units, np.array([0, len(units)], dtype=np.int64))
    return values, durations


def expand(values: NDArray[Any], durations: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Inverse of `dedup`: values (m,), durations (m,) -> the unit of each frame (n,)."""
    return np.repeat(values, durations)


def dedup_ragged(
    units: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.uint16], NDArray[np.int64]]:
    """`dedup` of many segments.

    Args:
        units: (n,) frames of all segments, one after the other.
        offsets: (s + 1,) int64 from 0 to n; segment i is `units[offsets[i]:offsets[i + 1]]`, which may be empty.

    Returns:
        values (m,), durations (m,) uint16 in frames, offsets (s + 1,) of the same segments in `values`.
    """
    first = np.empty(len(units) + 1, dtype=bool)  # True at each frame that opens a run, and at the end
    first[0] = True
    np.not_equal(units[1:], units[:-1], out=first[1:-1])
    first[offsets] = True
    first[-1] = True
    edges = np.flatnonzero(first)
    if len(edges) > 1 and np.diff(edges).max() > MAX_RUN:
        edges = _cut(edges)
    starts = edges[:-1]
    return units[starts], np.diff(edges).astype(np.uint16), np.searchsorted(starts, offsets).astype(np.int64)


def frames_ragged(durations: NDArray[np.uint16], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frames of each segment: durations (m,), offsets (s + 1,) -> (s,) int64."""
    return np.diff(offsets_of(durations)[offsets])


def _cut(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Edges with more edges every `MAX_RUN` frames inside the runs that are longer."""
    runs = np.diff(edges)
    parts = -(-runs // MAX_RUN)
    part = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.append(np.repeat(edges[:-1], parts) + part * MAX_RUN, edges[-1])
