"""Documents in, rows of a fixed length out: order, mixture, cutting and fitting.

A document is one row of `tokens`, named "<utterance id>#<kind>". Its place in the packed corpus and whether a mixture
takes it are decided by hashes of its name and the seed alone, so they do not depend on the number of shards, on their
order or on workers. All but `best_fit` works on whole arrays.
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

GROUPS = ("speech", "text", "mixed")  # what mixture weights speak of
_GROUP_OF = {"unit": 0, "text": 1}
_SELECTION = 1  # salt: which documents a mixture takes is independent of where they stand
BINS = 1 << 16  # of the selection hash; a share is met to about one part in so many


def group_of(kind: str) -> int:
    """Index in `GROUPS` of a kind of row; all kinds with both modalities are "mixed"."""
    return _GROUP_OF.get(kind, 2)


def document_keys(seed: int, ids: pa.Array, kinds: pa.Array) -> tuple[Hashes, NDArray[np.uint8]]:
    """(n,) sort keys of documents, and their groups; the key hashes seed, id and kind."""
    by_id, by_kind = ids.dictionary_encode(), kinds.dictionary_encode()
    names = by_kind.dictionary.to_pylist()
    id_keys = record_keys(seed, "pack", by_id.dictionary.to_pylist())
    kind_keys = record_keys(seed, "pack.kind", names)
    groups = np.array([group_of(name) for name in names], np.uint8)
    which = np.asarray(by_kind.indices)
    return mix64(id_keys[np.asarray(by_id.indices)] ^ kind_keys[which]), groups[which]


class Mixture:
    """Which documents are taken, and how often, so that the groups' shares of the tokens match their weights.

    Counting comes first (`count` for all documents), then `decide`; after that `copies` answers for any document.

    Args:
        weights: of the groups, relative; a group that is not named is left out; None takes every document once.
        repeat: False takes as much as can be had with no document twice; True takes every document of the weighted
            groups at least once and repeats the scarce groups.
    """

    def __init__(self, weights: Mapping[str, float] | None, *, repeat: bool = False) -> None:
        self.weights = weights
        self.repeat = repeat
        self.tokens = np.zeros((len(GROUPS), BINS), np.int64)  # by group and selection bin
        self._whole = np.ones(len(GROUPS), np.int64)  # times that every document of a group is taken
        self._limit = np.zeros(len(GROUPS), np.int64)  # documents in bins below this are taken once more

    def count(self, keys: Hashes, groups: NDArray[np.uint8], lengths: Ints) -> None:
        """Add documents to the counts."""
        cell = groups.astype(np.int64) * BINS + self._bins(keys)
        self.tokens += np.bincount(cell, lengths, self.tokens.size).astype(np.int64).reshape(self.tokens.shape)

    @staticmethod
    def _bins(keys: Hashes) -> Ints:
        return (salted(keys, _SELECTION) >> np.uint64(48)).astype(np.int64)

    def decide(self) -> Ints:
        """(groups,) tokens that will be taken of each group.

        Raises:
            ConfigError: a group has weight but no tokens.
        """
        have: Ints = self.tokens.sum(axis=1)
        if self.weights is None:
            return have
        share = np.array([self.weights.get(name, 0.0) for name in GROUPS])
        for name, weight, n in zip(GROUPS, share, have, strict=True):
            if weight > 0 and n == 0:
                raise ConfigError(f"the mixture gives {name!r} the weight {weight:g}, but there are no {name} rows")
        used = share > 0
        scale = have[used] / share[used]
        budget = np.zeros(len(GROUPS), np.int64)
        budget[used] = np.floor(share[used] * (scale.max() if self.repeat else scale.min()) * (1 + 1e-12))
        self._whole = budget // np.maximum(have, 1)
        taken = self._whole * have
        for group in np.flatnonzero(used):
            below = np.append(0, np.cumsum(self.tokens[group]))
            limit = int(np.searchsorted(below, budget[group] - taken[group], side="right")) - 1
            self._limit[group] = limit if below[limit] else 0
            taken[group] += below[limit]
        return taken

    @property
    def passes(self) -> int:
        """Most copies of any document."""
        return int((self._whole + (self._limit > 0)).max())

    def takes(self, keys: Hashes, groups: NDArray[np.uint8], copy: int) -> NDArray[np.bool_]:
        """(n,) True for documents whose copy number `copy` (from 0) is taken."""
        whole = self._whole[groups]
        return (copy < whole) | ((copy == whole) & (self._bins(keys) < self._limit[groups]))


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents in packing order: names (n,), flat tokens, and lengths (n,)."""

    names: pa.StringArray
    tokens: NDArray[np.int32]
    lengths: Ints

    def then(self, other: Documents) -> Documents:
        """These, followed by others."""
        if not len(self.names):
            return other
        return Documents(
            pa.concat_arrays([self.names, other.names]),
            np.concatenate([self.tokens, other.tokens]),
            np.concatenate([self.lengths, other.lengths]),
        )

    @classmethod
    def none(cls) -> Documents:
        """No documents."""
        return cls(pa.array([], pa.string()), np.zeros(0, np.int32), np.zeros(0, np.int64))


class Layout:
    """What every packed row needs besides its documents.

    Args:
        context: tokens of a row.
        pad: id of the padding token.
        token_modality: (vocabulary size,) int8, code of each token.
    """

    def __init__(self, context: int, pad: int, token_modality: NDArray[np.int8]) -> None:
        self.context, self.pad, self.token_modality = context, pad, token_modality

    def full_rows(self, documents: Documents) -> tuple[pa.RecordBatch, Documents]:
        """The rows that documents fill, end to end, and what is left: fewer than `context` tokens.

        A document that crosses the end of a row goes on in the next, as document 0 there, under the same name.
        """
        rows = len(documents.tokens) // self.context
        used = rows * self.context
        at = offsets_of(documents.lengths)
        # First and last document of each row, by where the row's first and last token lie.
        first = np.searchsorted(at, np.arange(rows) * self.context, side="right") - 1
        last = np.searchsorted(at, np.arange(1, rows + 1) * self.context, side="left") - 1
        owner = np.repeat(np.arange(len(documents.lengths), dtype=np.int32), documents.lengths)[:used]
        owner = (owner.reshape(rows, self.context) - first[:, None].astype(np.int32)).reshape(-1)
        batch = self._batch(documents.tokens[:used], owner, documents.names, first, last - first + 1)
        begin = int(np.searchsorted(at, used, side="right") - 1) if used < at[-1] else len(documents.lengths)
        rest = documents.lengths[begin:].copy()
        if len(rest):
            rest[0] -= used - at[begin]
        return batch, Documents(documents.names.slice(begin), documents.tokens[used:], rest)

    def padded_rows(self, documents: Documents, bins: Sequence[Sequence[int]]) -> pa.RecordBatch:
        """One row for each bin: the bin's documents (by index), then padding."""
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
        chosen = names.take(pa.array(ranges(first, counts)))
        columns = [
            to_arrow(tokens, at),
            to_arrow(owner, at),
            to_arrow(np.take(self.token_modality, tokens), at),
            to_arrow(chosen, offsets_of(counts)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=PACKED)


def cut_long(documents: Documents, context: int) -> tuple[Documents, NDArray[np.bool_]]:
    """Documents longer than `context` cut into pieces of `context` (the last one shorter), under the same name.

    Also True for each piece that goes on from the one before it.
    """
    pieces = -(-documents.lengths // context)
    if (pieces == 1).all():
        return documents, np.zeros(len(pieces), bool)
    owner = np.repeat(np.arange(len(pieces)), pieces)
    lengths = np.full(len(owner), context, np.int64)
    ends = np.cumsum(pieces) - 1
    lengths[ends] = documents.lengths - (pieces - 1) * context
    return Documents(documents.names.take(pa.array(owner)), documents.tokens, lengths), np.diff(owner, prepend=-1) == 0


def best_fit(lengths: Ints, goes_on: NDArray[np.bool_], context: int) -> list[list[int]]:
    """Bins of document indices, none over `context` tokens: each document goes where it leaves the least room.

    Online best fit; bins stand in the order in which they were begun. A piece that goes on from the one before begins
    a bin, so that the pieces of a long document stand in rows that follow each other. The open bins are kept by the
    room they have left, in one integer whose bit r says that some bin has room r: the best is one bit operation away.
    """
    bins: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(context + 1)]
    rooms = 0
    for i, (length, begins) in enumerate(zip(lengths.tolist(), goes_on.tolist(), strict=True)):
        fitting = 0 if begins else rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            which = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
            bins[which].append(i)
        else:
            room, which = context, len(bins)
            bins.append([i])
        left = room - length
        if left:
            by_room[left].append(which)
            rooms |= 1 << left
    return bins
