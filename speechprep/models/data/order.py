"""The order of an epoch: shuffled row groups, and rows shuffled within windows of some row groups.

Both permutations are sorts of hashes of (seed, source, epoch, position). Any epoch and any window can be computed
alone, with the same result on any machine and with any version of NumPy. Memory is one number for each row group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import Hashes, record_keys, salted, splitmix64
from speechprep.tokenizers.arrays.ragged import Ints


def source_key(seed: int, name: str) -> Hashes:
    """(1,) key of a source, the root of the keys of its epochs and windows."""
    return record_keys(seed, "models.data.order", [name])


def permutation(key: Hashes, n: int) -> Ints:
    """(n,) the numbers 0 .. n - 1 in an order that depends only on the key (1,)."""
    return np.argsort(splitmix64(key, np.arange(n)), kind="stable")


@dataclass(frozen=True)
class Epoch:
    """The order of one epoch of a source: its shuffled pieces (row groups), divided into windows.

    Attributes:
        key: (1,) of the epoch.
        order: (n,) pieces in the order of the epoch.
        edges: (w + 1,) window i is order[edges[i] : edges[i + 1]].
        at: (w + 1,) start of each window, in the unit of the sizes (rows or tokens).
    """

    key: Hashes
    order: Ints
    edges: Ints
    at: Ints

    @classmethod
    def of(cls, key: Hashes, epoch: int, sizes: Ints, window: int) -> Epoch:
        """The order of an epoch.

        Args:
            key: (1,) key of the source.
            epoch: number of the epoch.
            sizes: (n,) size of each piece, above 0.
            window: smallest size of a window. A window exceeds it by less than one piece.
        """
        epoch_key = salted(key, epoch)
        order = permutation(salted(epoch_key, 0), len(sizes))
        ends = np.cumsum(sizes[order])
        number = (ends - sizes[order]) // max(window, 1)
        edges = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(order))
        return cls(epoch_key, order, edges, np.append(0, ends)[edges])

    def within(self, window: int, n: int) -> Ints:
        """(n,) shuffled order of the n rows or documents of a window."""
        return permutation(salted(self.key, window + 1), n)

    def pieces(self, window: int) -> NDArray[np.int64]:
        """Pieces of a window, in their order of concatenation."""
        return self.order[self.edges[window] : self.edges[window + 1]]

    def window_of(self, at: Ints) -> Ints:
        """(n,) window of each position (n,) of the epoch."""

        return np.searchsorted(self.at, at, side="right") - 1
