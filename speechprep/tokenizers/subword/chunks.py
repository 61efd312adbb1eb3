"""Chunk-wise BPE encoding of units with a cache: faster than SentencePiece alone, with equal ids.

If two neighbouring units stand side by side in no piece of a BPE model, no piece can cross the border between them. The
units on the left of the border are then encoded independently of the units on the right. These borders are frequent in
speech units. They divide segments into short chunks (2 to 5 units), and some thousands of distinct chunks cover most of
a corpus. Chunks of up to 128 bits are looked up in a table of encoded chunks. SentencePiece encodes the other chunks,
many in one string.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.ragged import Ints, offsets_of, ranges

Segments = tuple[NDArray[Any], Ints]  # flat values, offsets
U64 = NDArray[np.uint64]

_SLOT_BITS = 16
_POOL = 1 << 20  # largest number of cached ids
_BITMAP = 1 << 22  # pairs of units are looked up modulo this size; a collision only makes a chunk longer
_SPREAD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # odd, with bits set at random


class _Keys(NamedTuple):
    """Keys of chunks: units plus one, packed into two 64-bit words. `low` is 0 if a chunk does not fit."""

    low: U64
    high: U64

    def of(self, chunks: Ints) -> _Keys:
        """Keys of the chunks with these numbers."""
        return _Keys(self.low[chunks], self.high[chunks])

    def mixed(self) -> U64:
        """(c,) hash of each key."""
        return (self.low * _SPREAD[0]) ^ (self.high * _SPREAD[1])

    def slots(self) -> Ints:
        """(c,) table slot of each key."""
        return (self.mixed() >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)

    def equal(self, other: _Keys) -> NDArray[np.bool_]:
        """(c,) True for equal keys."""
        same: NDArray[np.bool_] = (self.low == other.low) & (self.high == other.high)
        return same


class _Table(NamedTuple):
    """Table of encoded chunks: slot -> key (low word 0: empty slot), and the position of its ids in the pool."""

    keys: _Keys
    starts: Ints
    counts: Ints
    pool: NDArray[np.int32]

    @classmethod
    def empty(cls) -> _Table:
        """A table without chunks."""
        low, high = np.zeros((2, 1 << _SLOT_BITS), np.uint64)
        starts, counts = np.zeros((2, 1 << _SLOT_BITS), np.int64)
        return cls(_Keys(low, high), starts, counts, np.empty(0, np.int32))

    def stored(self, keys: _Keys, places: Ints, ids: NDArray[np.int32]) -> _Table:
        """A table with more chunks. They replace older chunks in their slots; if the pool is full, all older chunks."""
        old = self if len(self.pool) + len(ids) <= _POOL else self.empty()
        new = _Table(_Keys(*(word.copy() for word in old.keys)), old.starts.copy(), old.counts.copy(), old.pool)
        slots = keys.slots()
        new.keys.low[slots], new.keys.high[slots] = keys
        new.starts[slots], new.counts[slots] = places[:-1] + len(old.pool), np.diff(places)
        return new._replace(pool=np.concatenate([old.pool, ids]))


class ChunkEncoder:
    """Encodes segments of units chunk by chunk.

    Args:
        k: number of units of the codebook.
        pieces: units (n,) of all pieces of a BPE model, and their offsets.
        encode: encoder of non-empty segments: flat, offsets -> ids, offsets.
    """

    def __init__(self, k: int, pieces: Segments, encode: Callable[..., Segments]) -> None:
        self._k, self._encode = np.int64(k), encode
        self._bits = int(k).bit_length()
        self._per_word = 64 // self._bits
        flat, offsets = pieces
        self._inside = np.zeros(min(k * k, _BITMAP), dtype=bool)
        within = np.ones(max(len(flat) - 1, 0), dtype=bool)
        within[offsets[(offsets > 0) & (offsets < len(flat))] - 1] = False
        self._inside[self._pairs(flat)[within]] = True
        self._table = _Table.empty()  # replaced, never changed, so threads may share the encoder

    def __call__(self, flat: NDArray[Any], offsets: Ints) -> Segments:
        """Units (n,) and offsets (s + 1,) -> ids (m,) int32 and offsets (s + 1,)."""
        edges = self._chunk_edges(flat, offsets)
        starts, lengths = edges[:-1], np.diff(edges)
        keys = self._keys(flat, starts, lengths)
        table, slots = self._table, keys.slots()
        sources, counts, pool = table.starts[slots], table.counts[slots], table.pool
        missed = np.flatnonzero(~keys.equal(table.keys.of(slots)) | (keys.low == 0))
        if len(missed):
            chunks, index, keyed = _distinct(keys, missed)
            sizes = lengths[chunks]
            ids, places = self._encode(flat[ranges(starts[chunks], sizes)], offsets_of(sizes))
            sources[missed], counts[missed] = places[index] + len(pool), np.diff(places)[index]
            pool = np.concatenate([pool, ids])
            if keyed:
                self._table = table.stored(keys.of(chunks[:keyed]), places[: keyed + 1], ids[: places[keyed]])
        return pool[ranges(sources, counts)], offsets_of(counts)[np.searchsorted(starts, offsets)]

    def _pairs(self, flat: NDArray[Any]) -> Ints:
        """Bitmap position of each pair of neighbours: (n,) -> (n - 1,)."""
        units = flat.astype(np.int64)
        pairs = units[:-1] * self._k + units[1:]
        return pairs if self._k * self._k <= _BITMAP else pairs % _BITMAP

    def _chunk_edges(self, flat: NDArray[Any], offsets: Ints) -> Ints:
        """(chunks + 1,) edges of all chunks; every segment border is an edge."""
        first = np.ones(len(flat) + 1, dtype=bool)
        np.logical_not(self._inside[self._pairs(flat)], out=first[1:-1])
        first[offsets] = True
        return np.flatnonzero(first)

    def _keys(self, flat: NDArray[Any], starts: Ints, lengths: Ints) -> _Keys:
        size = self._per_word
        low, high = self._word(flat, starts, lengths), np.zeros(len(starts), np.uint64)
        long = np.flatnonzero((lengths > size) & (lengths <= 2 * size))
        rest = lengths[long] - size
        at = offsets_of(rest)
        high[long] = self._word(flat[ranges(starts[long] + size, rest)], at[:-1], rest)
        low[lengths > 2 * size] = 0
        return _Keys(low, high)

    def _word(self, flat: NDArray[Any], starts: Ints, lengths: Ints) -> U64:
        """(c,) uint64: the first units of each chunk, plus one, packed side by side."""
        if not len(starts):
            return np.empty(0, np.uint64)
        place = np.arange(len(flat)) - np.repeat(starts, lengths)
        values = (flat.astype(np.uint64) + np.uint64(1)) << np.minimum(place * self._bits, 63).astype(np.uint64)
        values[place >= self._per_word] = 0
        return np.bitwise_or.reduceat(values, starts)


def _distinct(keys: _Keys, missed: Ints) -> tuple[Ints, Ints, int]:
    """Chunks to encode: one for each distinct key, then all chunks without a key.

    Returns:
        The chunks, the index of each chunk of `missed` in them, and the number of chunks with a key.
    """
    short = keys.low[missed] != 0
    mixed = keys.of(missed).mixed()
    _, first, inverse = np.unique(mixed[short], return_index=True, return_inverse=True)
    keyed = missed[short]
    same = keys.of(keyed).equal(keys.of(keyed[first][inverse]))  # different keys can have equal hashes
    index = np.full(len(missed), -1, dtype=np.int64)
    index[short] = np.where(same, inverse, -1)
    alone = index < 0
    index[alone] = len(first) + np.arange(np.count_nonzero(alone))
    return np.concatenate([keyed[first], missed[alone]]), index, len(first)
