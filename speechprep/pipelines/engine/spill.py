"""Sorting more documents than fit in memory, by key, through a file on a local disk.

Documents are collected up to a fixed number of tokens (a chunk), sorted by key, and written in parts, one for each of
`PARTS` equal ranges of the key. Reading goes over the ranges: the documents of a bucket (some neighbouring ranges) are
fetched from all chunks and put in order. The order depends on keys and names alone, memory on the sizes of a chunk and
a bucket alone (of a part, beyond `PARTS` buckets: 2 thousand million tokens).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.arrays.keyed_random import Hashes
from speechprep.tokenizers.arrays.ragged import offsets_of
from speechprep.tokenizers.packing import DocumentBatch

CHUNK_TOKENS = 1 << 22
BUCKET_TOKENS = 1 << 21
PARTS = 1 << 10

_SCHEMA = pa.schema(
    [("key", pa.uint64()), ("group", pa.uint8()), ("name", pa.string()), ("tokens", pa.list_(pa.int32()))]
)
_PART_SHIFT = np.uint64(64 - PARTS.bit_length() + 1)
Keep = Callable[[Hashes, NDArray[np.uint8]], NDArray[np.bool_]]


class Spill:
    """Takes documents in any order, gives them back bucket by bucket in the order of their keys.

    Args:
        path: a local file to write to.
    """

    def __init__(self, path: Path, chunk_tokens: int = CHUNK_TOKENS, bucket_tokens: int = BUCKET_TOKENS) -> None:
        self.path = path
        self.chunk_tokens, self.bucket_tokens = chunk_tokens, bucket_tokens
        self.tokens = 0
        self.chunks = 0
        self._held: list[pa.RecordBatch] = []
        self._held_tokens = 0
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, _SCHEMA)
        self._reader: pa.ipc.RecordBatchFileReader | None = None

    def add(self, keys: Hashes, groups: NDArray[np.uint8], names: pa.StringArray, tokens: pa.ListArray) -> None:
        """Documents: sort keys, groups, names and token ids."""
        self._held.append(pa.RecordBatch.from_arrays([pa.array(keys), pa.array(groups), names, tokens], schema=_SCHEMA))
        n = int(tokens.offsets[-1].as_py() - tokens.offsets[0].as_py())
        self.tokens += n
        self._held_tokens += n
        if self._held_tokens >= self.chunk_tokens:
            self._write()

    def _write(self) -> None:
        batch = pa.Table.from_batches(self._held, schema=_SCHEMA).combine_chunks().to_batches()[0]
        self._held, self._held_tokens = [], 0
        batch = _reorder(batch, np.argsort(np.asarray(batch.column("key")), kind="stable"))
        cuts = np.searchsorted(np.asarray(batch.column("key")), np.arange(PARTS, dtype=np.uint64) << _PART_SHIFT)
        for begin, end in zip(cuts.tolist(), [*cuts[1:].tolist(), len(batch)], strict=True):
            self._writer.write_batch(batch.slice(begin, end - begin))
        self.chunks += 1

    def close(self) -> int:
        """End of the documents; returns the number of buckets, a function of the tokens only."""
        if self._held:
            self._write()
        self._writer.close()
        self._sink.close()
        self._reader = pa.ipc.open_file(pa.OSFile(str(self.path), "rb"))
        return min(PARTS, max(1, -(-self.tokens // self.bucket_tokens)))

    def load(self, bucket: int, buckets: int, keep: Keep) -> tuple[Hashes, DocumentBatch]:
        """Selected keys and documents of a bucket (`keep`: keys, groups -> mask), in the order of keys, then
        names."""
        parts = []
        for chunk in range(self.chunks):
            for part in range(bucket * PARTS // buckets, (bucket + 1) * PARTS // buckets):
                batch = self._reader.get_batch(chunk * PARTS + part)  # type: ignore[union-attr]
                if len(batch):
                    parts.append(batch)
        if not parts:
            return np.zeros(0, np.uint64), DocumentBatch.empty()
        batch = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
        order = _order(batch)
        taken = keep(np.asarray(batch.column("key")), np.asarray(batch.column("group")))
        batch = _reorder(batch, order[taken[order]])
        values, offsets = ragged.of_arrow(batch.column("tokens"))
        return np.asarray(batch.column("key")), DocumentBatch(
            batch.column("name"), np.asarray(values), np.diff(offsets)
        )


def _order(batch: pa.RecordBatch) -> NDArray[np.int64]:
    keys = np.asarray(batch.column("key"))
    order = np.argsort(keys, kind="stable")
    if (keys[order[1:]] == keys[order[:-1]]).any():  # two names of one hash
        order = np.lexsort((np.array(batch.column("name").to_pylist()), keys))
    return order


def _reorder(batch: pa.RecordBatch, order: NDArray[np.int64]) -> pa.RecordBatch:
    """`batch.take(order)`; the token lists by one gather, faster than Arrow's own for lists."""
    values, offsets = ragged.of_arrow(batch.column("tokens"))
    lengths = np.diff(offsets)[order]
    tokens = ragged.gather(np.asarray(values), offsets[:-1][order], lengths)
    rest = [batch.column(name).take(pa.array(order)) for name in ("key", "group", "name")]
    return pa.RecordBatch.from_arrays([*rest, ragged.to_arrow(tokens, offsets_of(lengths))], schema=_SCHEMA)
