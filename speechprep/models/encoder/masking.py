"""Masks of MLM (Devlin et al. 2019, arXiv 1810.04805, 3.1), by piece or by whole word.

Of each row, `share` of the pieces are targets, at least one. 80 % of the targets are replaced by [MASK], 10 % by a
random piece, and 10 % stay. With whole words, all pieces of a chosen word are targets; words are chosen in random order
until the number is reached.

All draws depend on (seed, epoch, id of the row) only: a row has the same mask on any rank and in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from speechprep.models.losses import IGNORE
from speechprep.tokenizers.arrays.keyed_random import Draws, Hashes, record_keys, salted
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

_ORDER, _KIND, _PIECE = 0, 1, 2  # streams of draws
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Masking:
    """Rule of the masks.

    Attributes:
        tokenizer: ids of the special tokens and number of pieces.
        share: fraction of the pieces that are targets.
        whole_words: True to mask whole words.
    """

    tokenizer: WordPiece
    share: float = 0.15
    whole_words: bool = False

    def keys(self, seed: int, ids: Sequence[str]) -> Hashes:
        """(n,) keys of the rows, the argument of `apply`."""
        return record_keys(seed, "models.encoder.masking", ids)

    def apply(self, key: Hashes, epoch: int, ids: Ints, begins: NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """Input and labels of one row.

        Args:
            key: (1,) key of the row.
            epoch: number of the epoch.
            ids: (l,) pieces without [CLS] and [SEP].
            begins: (l,) first pieces of words.

        Returns:
            (l,) input ids, and (l,) labels: the piece at targets, else `losses.IGNORE`.
        """
        draws, n = Draws(salted(key, epoch)), len(ids)
        row, index = np.zeros(n, np.int64), np.arange(n)
        word = np.cumsum(begins) - 1 if self.whole_words else index
        order = draws.uniform(_ORDER, row[: word[-1] + 1], index[: word[-1] + 1])
        wanted = max(1, round(self.share * n))
        sizes = np.bincount(word)
        ranked = np.argsort(order, kind="stable")
        chosen = np.zeros(len(sizes), np.bool_)
        chosen[ranked[np.cumsum(sizes[ranked]) - sizes[ranked] < wanted]] = True
        target = chosen[word]
        kind, piece = draws.uniform(_KIND, row, index), draws.uniform(_PIECE, row, index)
        ordinary = self.ordinary
        replaced = np.where(kind < 0.8, self.tokenizer.mask, ids)
        replaced = np.where((kind >= 0.8) & (kind < 0.9), ordinary[(piece * len(ordinary)).astype(np.int64)], replaced)
        return np.where(target, replaced, ids).astype(np.int64), np.where(target, ids, IGNORE).astype(np.int64)

    @cached_property
    def ordinary(self) -> Ints:
        """Ids of all pieces that are not special."""
        special = np.isin(np.arange(self.tokenizer.size), list(self.tokenizer.special_ids.values()))
        return np.flatnonzero(~special)
