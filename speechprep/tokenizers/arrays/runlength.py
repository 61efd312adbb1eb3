"""Run-length encoding of units: one unit for each frame <-> units without repeats and their durations in frames.

All segments (words, utterances) of a shard are encoded in one call, as flat arrays with offsets. A run never crosses a
segment border. Segments can therefore be cut, encoded and concatenated independently.

>>> values, durations = dedup(np.array([7, 7, 7, 2, 2, 7], dtype=np.uint16))
>>> values.tolist(), durations.tolist()
([7, 2, 7], [3, 2, 1])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.ragged import offsets_of

MAX_RUN = 65_535  # frames, the largest uint16 duration: 10.9 min at 100 frames/s


def dedup(units: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Run-length encoding: (n,) unit of each frame -> values (m,), durations (m,) in frames.

    A run longer than `MAX_RUN` frames is stored as several entries of the same unit. An example is four hours of
    digital silence: 1.4 million frames at 100 frames/s. `expand(*dedup(units))` equals `units` for every input.
    """
    values, durations, _ = dedup_ragged(units, np.array([0, len(units)], dtype=np.int64))
    return values, durations


def expand(values: NDArray[Any], durations: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Run-length decoding, the inverse of `dedup`: values (m,), durations (m,) -> the unit of each frame (n,)."""
    return np.repeat(values, durations)


def dedup_ragged(
    units: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.uint16], NDArray[np.int64]]:
    """`dedup` of many segments.

    Args:
        units: (n,) units of the frames of all segments, concatenated.
        offsets: (s + 1,) int64 from 0 to n. Segment i is `units[offsets[i]:offsets[i + 1]]` and may be empty.

    Returns:
        values (m,), durations (m,) uint16 in frames, and the offsets (s + 1,) of the segments in `values`.
    """
    first = np.empty(len(units) + 1, dtype=bool)  # True at the first frame of each run, and at the end
    first[0] = True
    np.not_equal(units[1:], units[:-1], out=first[1:-1])
    first[offsets] = True
    first[-1] = True
    edges = np.flatnonzero(first)
    if len(edges) > 1 and np.diff(edges).max() > MAX_RUN:
        edges = _cut_long_runs(edges)
    starts = edges[:-1]
    return units[starts], np.diff(edges).astype(np.uint16), np.searchsorted(starts, offsets).astype(np.int64)


def frames_ragged(durations: NDArray[np.uint16], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of frames of each segment: durations (m,), offsets (s + 1,) -> (s,) int64."""
    return np.diff(offsets_of(durations)[offsets])


def _cut_long_runs(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Edges of the runs, with additional edges every `MAX_RUN` frames inside longer runs."""
    runs = np.diff(edges)
    parts = -(-runs // MAX_RUN)
    part = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.append(np.repeat(edges[:-1], parts) + part * MAX_RUN, edges[-1])
