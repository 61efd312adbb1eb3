"""The order of an epoch: shuffled row groups, and rows shuffled within windows of some row groups.

Both permutations are sorts of hashes of (seed, source, epoch, place), so any epoch and any window can be had alone, on
any machine and with any version of NumPy; nothing is kept but one number for each row group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import Hashes, record_keys, salted, splitmix64
from speechprep.tokenizers.arrays.ragged import Ints


def source_key(seed: int, name: str) -> Hashes:
    """(1,) key of a source: root of the keys of its epochs and windows."""
    return record_keys(seed, "models.data.order", [name])


def permutation(key: Hashes, n: int) -> Ints:
    """(n,) numbers 0 .. n - 1 in an order from the key (1,) alone."""
    return np.argsort(splitmix64(key, np.arange(n)), kind="stable")


@dataclass(frozen=True)
class Epoch:
    """The order of one epoch of a source with pieces (row groups) of given sizes.

    Attributes:
        key: (1,) of the epoch.
        order: (n,) pieces in the order of the epoch.
        edges: (w + 1,) window i is order[edges[i] : edges[i + 1]].
        at: (w + 1,) start of each window, in the unit of the sizes.
    """

    key: Hashes
    order: Ints
    edges: Ints
    at: Ints

    @classmethod
    def of(cls, key: Hashes, epoch: int, sizes: Ints, window: int) -> Epoch:
        """For pieces of `sizes` (n,), all above 0; windows of `window` or less than a piece more."""
        own = salted(key, epoch)
        order = permutation(salted(own, 0), len(sizes))
        ends = np.cumsum(sizes[order])
        number = (ends - sizes[order]) // max(window, 1)
        edges = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(order))
        return cls(own, order, edges, np.append(0, ends)[edges])

    def within(self, window: int, n: int) -> Ints:
        """(n,) order of the n rows or documents of a window."""
        return permutation(salted(self.key, window + 1), n)

    def pieces(self, window: int) -> NDArray[np.int64]:
        """Pieces of a window, in their order of concatenation."""
        return self.order[self.edges[window] : self.edges[window + 1]]

    def window_of(self, at: Ints) -> Ints:
        """(n,) windows of the places (n,) of the epoch."""
        return np.searchsorted(self.at, at, side="right") - 1
