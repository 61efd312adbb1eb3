"""Ragged arrays: flat values (n,) with offsets (s+1,), the form in which every batch of sequences is handled here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_BLOCK = 1 << 15


def offsets_of(lengths: NDArray[Any]) -> Ints:
    """(s,) lengths -> (s+1,) offsets that start at 0."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ranges(starts: NDArray[Any], lengths: NDArray[Any]) -> Ints:
    """Concatenation of `arange(starts[i], starts[i] + lengths[i])`, as one index array (sum(lengths),)."""
    offsets = offsets_of(lengths)
    index = np.arange(offsets[-1], dtype=np.int64)
    index += np.repeat(np.asarray(starts, np.int64) - offsets[:-1], lengths)
    return index


def gather(values: NDArray[Any], starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """`values[ranges(starts, lengths)]`, block by block, so that the index stays in the cache."""
    offsets = offsets_of(lengths)
    out = np.empty(int(offsets[-1]), values.dtype)
    cuts = np.unique(np.append(np.searchsorted(offsets, np.arange(0, len(out), _BLOCK)), len(lengths)))
    for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        into = out[offsets[a] : offsets[b]]
        # "clip" only because "raise" would go through a buffer.
        np.take(values, ranges(starts[a:b], lengths[a:b]), out=into, mode="clip")
    return out


def of_arrow(array: pa.ListArray) -> tuple[pa.Array, Ints]:
    """Values (not copied) and offsets of a list array, sliced or not; a null list counts as an empty one."""
    offsets = np.asarray(array.offsets).astype(np.int64)
    if array.null_count:
        lengths = np.where(np.asarray(array.is_valid()), np.diff(offsets), 0)
        return array.flatten(), offsets_of(lengths)
    first = int(offsets[0])
    return array.values.slice(first, int(offsets[-1]) - first), offsets - first


def to_arrow(values: pa.Array | NDArray[Any], offsets: NDArray[Any]) -> pa.ListArray:
    """The list array of flat values and offsets."""
    flat = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(pa.array(np.asarray(offsets, np.int32)), flat)
