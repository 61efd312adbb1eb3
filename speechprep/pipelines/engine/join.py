"""Joining two datasets of a shard by key, in one pass over each and without holding either.

The ids of both sides are read first (they are small), for all matches. Then one side is streamed, and the matching
rows of the other are fetched through a window. With both sides in the same order, as written by all stages, the
window is two batches wide. Another order is possible too, and costs the memory of the waiting rows.
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
        SchemaMismatch: an id in two rows: a join by id is impossible.
    """
    ids = pa.chunked_array([batch.column("id") for batch in batches], pa.string())
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = ids.value_counts()
        twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")[0].as_py()
        raise SchemaMismatch(f"{where}: the id {twice!r} stands there more than once; make {where} again")
    return ids


def positions(ids: pa.ChunkedArray, among: pa.ChunkedArray) -> Ints:
    """(n,) where each id stands in `among`, -1 where it does not."""
    if not len(ids):
        return np.zeros(0, np.int64)
    found = pc.fill_null(pc.index_in(ids, value_set=among.combine_chunks()), -1)
    return np.asarray(found).astype(np.int64)


class RowWindow:
    """Rows of a stream of batches by their position, each asked for at most once.

    Args:
        batches: the stream.
        wanted: all positions to fetch.
    """

    def __init__(self, batches: Iterator[pa.RecordBatch], wanted: Ints) -> None:
        self._batches = batches
        self._wanted = np.sort(wanted)
        self._held: list[tuple[int, pa.RecordBatch, int]] = []  # position of the first row, rows, still wanted of them
        self._read = 0

    def take(self, where: Ints) -> list[pa.RecordBatch]:
        """The rows at these positions, in this order, as one or more batches."""
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
        left = [(start, batch, n - int(t)) for (start, batch, n), t in zip(self._held, taken, strict=True)]
        self._held = [held for held in left if held[2] > 0]
        return rows

    def _gather(self, where: Ints, owner: Ints, starts: Ints) -> list[pa.RecordBatch]:
        """Neighbouring rows become slices without a copy."""
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


def unmatched(found: Ints, n: int) -> NDArray[np.bool_]:
    """(n,) True for positions of the other side without a match."""
    alone = np.ones(n, bool)
    alone[found[found >= 0]] = False
    return alone
