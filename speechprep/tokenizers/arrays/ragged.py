"""Ragged arrays: flat values (n,) with offsets (s + 1,), the form of all batches of sequences in this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_BLOCK = 1 << 15


def offsets_of(lengths: NDArray[Any]) -> Ints:
    """(s,) lengths -> (s + 1,) offsets, starting at 0."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ranges(starts: NDArray[Any], lengths: NDArray[Any]) -> Ints:
    """(sum(lengths),) index array: the concatenation of `arange(starts[i], starts[i] + lengths[i])`."""
    offsets = offsets_of(lengths)
    index = np.arange(offsets[-1], dtype=np.int64)
    index += np.repeat(np.asarray(starts, np.int64) - offsets[:-1], lengths)
    return index


def gather(values: NDArray[Any], starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """`values[ranges(starts, lengths)]`, computed in blocks to keep the index in the processor cache."""
    offsets = offsets_of(lengths)
    out = np.empty(int(offsets[-1]), values.dtype)
    cuts = np.unique(np.append(np.searchsorted(offsets, np.arange(0, len(out), _BLOCK)), len(lengths)))
    for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        target = out[offsets[a] : offsets[b]]
        # All indices are valid. The default mode "raise" would copy through a buffer, "clip" does not.
        np.take(values, ranges(starts[a:b], lengths[a:b]), out=target, mode="clip")
    return out


def of_arrow(array: pa.ListArray) -> tuple[pa.Array, Ints]:
    """Values (not copied) and offsets of a list array, which may be sliced. A null list counts as an empty list."""
    offsets = np.asarray(array.offsets).astype(np.int64)
    if array.null_count:
        lengths = np.where(np.asarray(array.is_valid()), np.diff(offsets), 0)
        return array.flatten(), offsets_of(lengths)
    first = int(offsets[0])
    return array.values.slice(first, int(offsets[-1]) - first), offsets - first


def to_arrow(values: pa.Array | NDArray[Any], offsets: NDArray[Any]) -> pa.ListArray:
    """List array from flat values (n,) and offsets (s + 1,)."""
    flat = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(pa.array(np.asarray(offsets, np.int32)), flat)
