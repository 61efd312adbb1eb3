"""Candidate pairs of records with a common key, and groups of accepted pairs.

Records are numbered by the rank of their id among all ids in ascending order. All results follow from the ranks and the
keys, so they are the same for any shards and any order of the records, and the smallest id of a group is its smallest
rank.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]

WHOLE_BUCKET = 32  # records with a common key of which all pairs are candidates


class Pairs(NamedTuple):
    """Pairs of records.

    Attributes:
        low, high: (n,) ranks, `low` < `high`.
        offset: (n,) place in `low` minus place in `high` of the common key.
    """

    low: Ranks
    high: Ranks
    offset: Ranks

    def unique(self) -> Pairs:
        """Each pair with each of its offsets once, in ascending order."""
        if not len(self.low):
            return self
        order = np.lexsort((self.offset, self.high, self.low))
        table = np.stack((self.low, self.high, self.offset))[:, order]
        first = np.concatenate(([True], (np.diff(table) != 0).any(axis=0)))
        low, high, offset = table[:, first]
        return Pairs(low, high, offset)


def bucket_pairs(keys: NDArray[np.uint64], ranks: Ranks, places: Ranks) -> Pairs:
    """Candidate pairs: records with a common key.

    Of a key with more than `WHOLE_BUCKET` records, each record is paired with the next one and with the first one. The
    number of pairs is therefore at most 16 for each record of a key, whatever the number of records.

    Args:
        keys, ranks, places: (n,) a key of a record and its place there, in any order.
    """
    order = np.lexsort((places, ranks, keys))
    keys, ranks, places = keys[order], ranks[order], places[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(starts, len(keys)))
    first, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    number = np.arange(len(keys))
    for step in range(1, min(WHOLE_BUCKET, int(sizes.max(initial=1)))):
        later = np.flatnonzero((number - step >= first) & ((size <= WHOLE_BUCKET) | (step == 1)))
        parts.append((later - step, later))
    far = np.flatnonzero((size > WHOLE_BUCKET) & (number > first + 1))
    parts.append((first[far], far))
    low, high = (np.concatenate(side) for side in zip(*parts, strict=True))
    two = ranks[low] != ranks[high]
    low, high = low[two], high[two]
    return Pairs(ranks[low], ranks[high], places[low] - places[high]).unique()


def equal_pairs(digests: NDArray[np.void], ranks: Ranks) -> tuple[Ranks, Ranks]:
    """(n,) ranks of records with an equal record of a smaller rank, and (n,) the smallest such rank.

    Args:
        digests: (records,) fixed-size digests.
        ranks: (records,) ranks.
    """
    order = np.argsort(ranks)
    _, where, inverse = np.unique(digests[order], return_index=True, return_inverse=True)
    smallest = ranks[order][where[inverse]]
    copies = smallest != ranks[order]
    return ranks[order][copies], smallest[copies]


def group_roots(low: Ranks, high: Ranks) -> tuple[Ranks, Ranks]:
    """(n,) ranks of all records in pairs, ascending, and (n,) the smallest rank of the group of each.

    A group is a connected component of the pairs.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    members, index = np.unique(np.concatenate((low, high)), return_inverse=True)
    a, b = np.split(index, 2)
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(len(members), len(members)))
    count, labels = connected_components(graph, directed=False)
    smallest = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(smallest, labels, members)
    return members, smallest[labels]
