"""Join of two datasets by id, in one pass over each and in bounded memory.

The ids of both sides are read first, and all matches are computed. Then one side is streamed, and the matching rows of
the other side are read through a window. All stages write rows in the same order; then the window holds two batches.
In another order it holds all rows between a row and its match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.errors import SchemaMismatch
from speechprep.tokenizers.arrays.ragged import Ints


def read_ids(batches: Iterable[pa.RecordBatch], where: str) -> pa.ChunkedArray:
    """The `id` column of a dataset's batches.

    Raises:
        SchemaMismatch: an id in two rows.
    """
    ids = pa.chunked_array([batch.column("id") for batch in batches], pa.string())
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = ids.value_counts()
        twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")[0].as_py()
        raise SchemaMismatch(f"{where}: the id {twice!r} is in more than one row; run the stage of {where} again")
    return ids


def positions(ids: pa.ChunkedArray, among: pa.ChunkedArray) -> Ints:
    """(n,) position of each id in `among`, -1 if it is absent."""
    if not len(ids):
        return np.zeros(0, np.int64)
    rows = pc.fill_null(pc.index_in(ids, value_set=among.combine_chunks()), -1)
    return np.asarray(rows).astype(np.int64)


class RowWindow:
    """Rows of a stream of batches by their position. Each row can be taken once.

    Args:
        batches: the stream.
        wanted: positions of all rows to take.
    """

    def __init__(self, batches: Iterator[pa.RecordBatch], wanted: Ints) -> None:
        self._batches = batches
        self._wanted = np.sort(wanted)
        self._held: list[tuple[int, pa.RecordBatch, int]] = []  # position of the first row, rows, wanted rows in it
        self._read = 0

    def take(self, where: Ints) -> list[pa.RecordBatch]:
        """Rows at these positions, in this order, as one or more batches."""
        if not len(where):
            return []
        while self._read <= where.max():
            batch = next(self._batches)
            begin, end = np.searchsorted(self._wanted, [self._read, self._read + batch.num_rows])
            self._held.append((self._read, batch, int(end - begin)))
            self._read += batch.num_rows
        starts = np.array([start for start, _, _ in self._held])
        owner = np.searchsorted(starts, where, side="right") - 1
        taken = np.bincount(owner, minlength=len(starts))
        rows = self._gather(where, owner, starts)
        remaining = [(start, batch, n - int(t)) for (start, batch, n), t in zip(self._held, taken, strict=True)]
        self._held = [held for held in remaining if held[2] > 0]
        return rows

    def _gather(self, where: Ints, owner: Ints, starts: Ints) -> list[pa.RecordBatch]:
        """Slices of neighbouring rows without a copy, or one copy if the slices are many."""
        cuts = np.flatnonzero((np.diff(where, prepend=-2) != 1) | (np.diff(owner, prepend=-1) != 0))
        ends = np.append(cuts[1:], len(where))
        if len(cuts) <= 16:
            return [
                self._held[owner[a]][1].slice(int(where[a] - starts[owner[a]]), int(b - a))
                for a, b in zip(cuts, ends, strict=True)
            ]
        held = pa.Table.from_batches([batch for _, batch, _ in self._held]).combine_chunks()
        before = np.concatenate([[0], np.cumsum([batch.num_rows for _, batch, _ in self._held])])[:-1]
        rows: list[pa.RecordBatch] = (
            held.take(pa.array(where - starts[owner] + before[owner])).combine_chunks().to_batches()
        )
        return rows


def unmatched(matches: Ints, n: int) -> NDArray[np.bool_]:
    """(n,) True for rows of the other side without a match.

    Args:
        matches: positions on the other side, -1 for none; see `positions`.
        n: number of rows of the other side.
    """
    without_match = np.ones(n, bool)
    without_match[matches[matches >= 0]] = False
    return without_match
