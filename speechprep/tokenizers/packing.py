"""Packing of documents into rows of a fixed length: order, mixture, cutting and bin packing.

A document is one row of `tokens`, named "<utterance id>#<kind>". Its place in the packed corpus and its selection by a
mixture follow from hashes of its name and the seed. They are independent of the number of shards, their order and the
workers. Everything except `best_fit` works on whole arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts.schemas import PACKED
from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import Hashes, mix64, record_keys, salted
from speechprep.tokenizers.arrays.ragged import Ints, gather, offsets_of, ranges, to_arrow

GROUPS = ("speech", "text", "mixed")  # the names of the mixture weights
_GROUP_OF = {"unit": 0, "text": 1}
_SELECTION = 1  # salt: the selection by a mixture is independent of the order
BINS = 1 << 16  # bins of the selection hash; the error of a share is about one part in 65,536


def group_of(kind: str) -> int:
    """Index in `GROUPS` of a kind of row. All kinds with both modalities are "mixed"."""
    return _GROUP_OF.get(kind, 2)


def document_keys(seed: int, ids: pa.Array, kinds: pa.Array) -> tuple[Hashes, NDArray[np.uint8]]:
    """(n,) sort keys of documents, hashed from seed, id and kind, and their groups (n,)."""
    by_id, by_kind = ids.dictionary_encode(), kinds.dictionary_encode()
    names = by_kind.dictionary.to_pylist()
    id_keys = record_keys(seed, "pack", by_id.dictionary.to_pylist())
    kind_keys = record_keys(seed, "pack.kind", names)
    groups = np.array([group_of(name) for name in names], np.uint8)
    kind = np.asarray(by_kind.indices)
    return mix64(id_keys[np.asarray(by_id.indices)] ^ kind_keys[kind]), groups[kind]


class Mixture:
    """Selection of documents, with repetitions, so that the token shares of the groups match their weights.

    Call `count` for all documents, then `decide` once. After that, `takes` selects documents.

    Args:
        weights: relative weight of each group; groups without a weight are left out; None takes every document once.
        repeat: False takes as many tokens as possible without repetition. True takes every document of the weighted
            groups at least once and repeats the scarce groups.
    """

    def __init__(self, weights: Mapping[str, float] | None, *, repeat: bool = False) -> None:
        self.weights = weights
        self.repeat = repeat
        self.tokens = np.zeros((len(GROUPS), BINS), np.int64)  # tokens of each group and selection bin
        self._whole = np.ones(len(GROUPS), np.int64)  # copies of every document of a group
        self._limit = np.zeros(len(GROUPS), np.int64)  # documents in bins below this get one more copy

    def count(self, keys: Hashes, groups: NDArray[np.uint8], lengths: Ints) -> None:
        """Add documents to the counts."""
        cell = groups.astype(np.int64) * BINS + self._bins(keys)
        self.tokens += np.bincount(cell, lengths, self.tokens.size).astype(np.int64).reshape(self.tokens.shape)

    @staticmethod
    def _bins(keys: Hashes) -> Ints:
        return (salted(keys, _SELECTION) >> np.uint64(48)).astype(np.int64)

    def decide(self) -> Ints:
        """Compute the selection; returns the selected tokens of each group (groups,).

        Raises:
            ConfigError: a group has a weight but no tokens.
        """
        available: Ints = self.tokens.sum(axis=1)
        if self.weights is None:
            return available
        share = np.array([self.weights.get(name, 0.0) for name in GROUPS])
        for name, weight, n in zip(GROUPS, share, available, strict=True):
            if weight > 0 and n == 0:
                raise ConfigError(
                    f"the mixture gives {name!r} the weight {weight:g}, but there are no {name} rows; "
                    "remove the weight or add the rows"
                )
        used = share > 0
        scale = available[used] / share[used]
        budget = np.zeros(len(GROUPS), np.int64)
        budget[used] = np.floor(share[used] * (scale.max() if self.repeat else scale.min()) * (1 + 1e-12))
        self._whole = budget // np.maximum(available, 1)
        taken = self._whole * available
        for group in np.flatnonzero(used):
            below = np.append(0, np.cumsum(self.tokens[group]))
            limit = int(np.searchsorted(below, budget[group] - taken[group], side="right")) - 1
            self._limit[group] = limit if below[limit] else 0
            taken[group] += below[limit]
        return taken

    @property
    def passes(self) -> int:
        """The largest number of copies of a document."""
        return int((self._whole + (self._limit > 0)).max())

    def takes(self, keys: Hashes, groups: NDArray[np.uint8], copy: int) -> NDArray[np.bool_]:
        """(n,) True for each document with a copy number `copy` (from 0)."""
        whole = self._whole[groups]
        return (copy < whole) | ((copy == whole) & (self._bins(keys) < self._limit[groups]))


@dataclass(frozen=True, slots=True)
class DocumentBatch:
    """Documents in packing order: names (n,), flat tokens (sum(lengths),) int32, lengths (n,)."""

    names: pa.StringArray
    tokens: NDArray[np.int32]
    lengths: Ints

    def concat(self, other: DocumentBatch) -> DocumentBatch:
        """These documents, followed by `other`."""
        if not len(self.names):
            return other
        return DocumentBatch(
            pa.concat_arrays([self.names, other.names]),
            np.concatenate([self.tokens, other.tokens]),
            np.concatenate([self.lengths, other.lengths]),
        )

    @classmethod
    def empty(cls) -> DocumentBatch:
        """A batch without documents."""
        return cls(pa.array([], pa.string()), np.zeros(0, np.int32), np.zeros(0, np.int64))


class Layout:
    """Layout of packed rows.

    Args:
        context: number of tokens of a row.
        pad: id of the padding token.
        token_modality: (vocabulary size,) int8, modality code of each token.
    """

    def __init__(self, context: int, pad: int, token_modality: NDArray[np.int8]) -> None:
        self.context, self.pad, self.token_modality = context, pad, token_modality

    def full_rows(self, documents: DocumentBatch) -> tuple[pa.RecordBatch, DocumentBatch]:
        """Full rows from concatenated documents, and the remaining documents of fewer than `context` tokens.

        A document across the end of a row continues in the next row as its document 0, under the same name.
        """
        rows = len(documents.tokens) // self.context
        used = rows * self.context
        at = offsets_of(documents.lengths)
        # First and last document of each row: the documents of its first and last token.
        first = np.searchsorted(at, np.arange(rows) * self.context, side="right") - 1
        last = np.searchsorted(at, np.arange(1, rows + 1) * self.context, side="left") - 1
        owner = np.repeat(np.arange(len(documents.lengths), dtype=np.int32), documents.lengths)[:used]
        owner = (owner.reshape(rows, self.context) - first[:, None].astype(np.int32)).reshape(-1)
        batch = self._batch(documents.tokens[:used], owner, documents.names, first, last - first + 1)
        begin = int(np.searchsorted(at, used, side="right") - 1) if used < at[-1] else len(documents.lengths)
        rest = documents.lengths[begin:].copy()
        if len(rest):
            rest[0] -= used - at[begin]
        return batch, DocumentBatch(documents.names.slice(begin), documents.tokens[used:], rest)

    def padded_rows(self, documents: DocumentBatch, bins: Sequence[Sequence[int]]) -> pa.RecordBatch:
        """One row for each bin: the documents of the bin (by index), then padding."""
        counts = np.array([len(b) for b in bins], np.int64)
        order = np.array([i for b in bins for i in b], np.int64)
        within = np.arange(len(order)) - np.repeat(offsets_of(counts)[:-1], counts)
        lengths = documents.lengths[order]
        filled = np.add.reduceat(lengths, offsets_of(counts)[:-1]) if len(bins) else np.zeros(0, np.int64)
        source = gather(documents.tokens, offsets_of(documents.lengths)[order], lengths)
        target = ranges(np.arange(len(bins)) * self.context, filled)
        tokens = np.full(len(bins) * self.context, self.pad, np.int32)
        owner = np.full(len(tokens), -1, np.int32)
        tokens[target] = source
        owner[target] = np.repeat(within, lengths)
        return self._batch(tokens, owner, documents.names.take(pa.array(order)), offsets_of(counts)[:-1], counts)

    def _batch(
        self, tokens: NDArray[np.int32], owner: NDArray[np.int32], names: pa.StringArray, first: Any, counts: Any
    ) -> pa.RecordBatch:
        at = np.arange(len(first) + 1) * self.context
        row_names = names.take(pa.array(ranges(first, counts)))
        columns = [
            to_arrow(tokens, at),
            to_arrow(owner, at),
            to_arrow(np.take(self.token_modality, tokens), at),
            to_arrow(row_names, offsets_of(counts)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=PACKED)


def cut_long(documents: DocumentBatch, context: int) -> tuple[DocumentBatch, NDArray[np.bool_]]:
    """Documents cut into pieces of at most `context` tokens, and (pieces,) True for pieces after the first.

    The pieces of a document keep its name. All pieces except the last have `context` tokens.
    """
    pieces = -(-documents.lengths // context)
    if (pieces == 1).all():
        return documents, np.zeros(len(pieces), bool)
    owner = np.repeat(np.arange(len(pieces)), pieces)
    lengths = np.full(len(owner), context, np.int64)
    ends = np.cumsum(pieces) - 1
    lengths[ends] = documents.lengths - (pieces - 1) * context
    return DocumentBatch(documents.names.take(pa.array(owner)), documents.tokens, lengths), np.diff(
        owner, prepend=-1
    ) == 0


def best_fit(lengths: Ints, goes_on: NDArray[np.bool_], context: int) -> list[list[int]]:
    """Online best-fit bin packing: bins of document indices with at most `context` tokens each.

    A document goes into the open bin with the least sufficient room. Bins stand in the order of their creation. A piece
    with `goes_on` starts a new bin, so the pieces of a long document lie in consecutive rows. Open bins are listed by
    their remaining room. Bit r of the integer `rooms` is set if a bin with room r exists, so the best bin takes one bit
    operation.
    """
    bins: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(context + 1)]
    rooms = 0
    for i, (length, begins) in enumerate(zip(lengths.tolist(), goes_on.tolist(), strict=True)):
        fitting = 0 if begins else rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            bin_index = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
            bins[bin_index].append(i)
        else:
            room, bin_index = context, len(bins)
            bins.append([i])
        left = room - length
        if left:
            by_room[left].append(bin_index)
            rooms |= 1 << left
    return bins
