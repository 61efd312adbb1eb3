"""External sort of documents by key, through a file on a local disk.

Documents are collected up to a fixed number of tokens (a chunk), sorted by key, and written in parts, one for each of
`PARTS` equal ranges of the key. A bucket is a few neighbouring ranges. Its documents are read from all chunks and
sorted. The order depends on keys and names only. Memory depends on the sizes of a chunk and a bucket only; beyond
`PARTS` buckets (2 billion tokens) it depends on the size of a part.
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
    """External sort: `add` documents in any order, `close`, then `load` bucket by bucket in the order of the keys.

    Args:
        path: local file for the documents.
        chunk_tokens: tokens of a chunk.
        bucket_tokens: tokens of a bucket.
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
        """Add documents: sort keys, groups, names and token ids."""
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
        """End the input; return the number of buckets, a function of the number of tokens only."""
        if self._held:
            self._write()
        self._writer.close()
        self._sink.close()
        self._reader = pa.ipc.open_file(pa.OSFile(str(self.path), "rb"))
        return min(PARTS, max(1, -(-self.tokens // self.bucket_tokens)))

    def load(self, bucket: int, buckets: int, keep: Keep) -> tuple[Hashes, DocumentBatch]:
        """Keys and documents of a bucket, sorted by key, then by name.

        Args:
            bucket: number of the bucket.
            buckets: result of `close`.
            keep: function from keys and groups to a mask of the documents to return.
        """
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
        mask = keep(np.asarray(batch.column("key")), np.asarray(batch.column("group")))
        batch = _reorder(batch, order[mask[order]])
        values, offsets = ragged.of_arrow(batch.column("tokens"))
        return np.asarray(batch.column("key")), DocumentBatch(
            batch.column("name"), np.asarray(values), np.diff(offsets)
        )


def _order(batch: pa.RecordBatch) -> NDArray[np.int64]:
    keys = np.asarray(batch.column("key"))
    order = np.argsort(keys, kind="stable")
    if (keys[order[1:]] == keys[order[:-1]]).any():  # two names with one hash
        order = np.lexsort((np.array(batch.column("name").to_pylist()), keys))
    return order


def _reorder(batch: pa.RecordBatch, order: NDArray[np.int64]) -> pa.RecordBatch:
    """`batch.take(order)`, with one gather of all token lists: faster than `take` of Arrow for lists."""
    values, offsets = ragged.of_arrow(batch.column("tokens"))
    lengths = np.diff(offsets)[order]
    tokens = ragged.gather(np.asarray(values), offsets[:-1][order], lengths)
    others = [batch.column(name).take(pa.array(order)) for name in ("key", "group", "name")]
    return pa.RecordBatch.from_arrays([*others, ragged.to_arrow(tokens, offsets_of(lengths))], schema=_SCHEMA)
