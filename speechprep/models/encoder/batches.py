"""Batches of masked texts: shuffled in each epoch, one order for any number of ranks, with a position to restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechprep.models.data.order import permutation, source_key
from speechprep.models.encoder.masking import Masking
from speechprep.models.encoder.texts import Examples
from speechprep.models.losses import IGNORE
from speechprep.tokenizers.arrays.keyed_random import salted
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

Tensors = dict[str, torch.Tensor]
Extras = Callable[[NDArray[np.int64], NDArray[np.int64]], Tensors]
"""Further tensors of a batch from the rows (b,) of the examples and their global sample numbers (b,)."""


@dataclass
class MaskedBatches:
    """Endless batches of one rank.

    Attributes:
        examples: the rows.
        masking: rule of the masks.
        rows: rows of a batch of one rank.
        seed: seed of the order and of the masks.
        rank, world: index of this process, and number of processes.
        extras: further tensors of a batch; None for none.
    """

    examples: Examples
    masking: Masking
    rows: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    extras: Extras | None = None

    def __post_init__(self) -> None:
        self.taken = 0
        self._keys = self.masking.keys(self.seed, self.examples.ids)
        self._order = source_key(self.seed, "encoder")

    def __iter__(self) -> Iterator[Tensors]:
        """Batches from the current position on."""
        n, order, epoch = len(self.examples), np.zeros(0, np.int64), -1
        while True:
            numbers = np.arange(self.taken, self.taken + self.rows) + self.rank * self.rows
            self.taken += self.rows * self.world
            chosen = np.empty(len(numbers), np.int64)
            for place, number in enumerate(numbers.tolist()):
                if number // n != epoch:
                    epoch = number // n
                    order = permutation(salted(self._order, epoch), n)
                chosen[place] = order[number % n]
            yield self.batch(chosen, numbers)

    def batch(self, chosen: NDArray[np.int64], numbers: NDArray[np.int64]) -> Tensors:
        """A batch of some rows, masked for the epochs of their sample numbers."""
        masked = []
        for row, number in zip(chosen.tolist(), numbers.tolist(), strict=True):
            ids, begins = self.examples.pieces.text(row)
            masked.append(
                self.masking.apply(
                    self._keys[row : row + 1], number // len(self.examples), ids.astype(np.int64), begins
                )
            )
        batch = padded([ids for ids, _ in masked], self.masking.tokenizer)
        labels = torch.full_like(batch["input_ids"], IGNORE)
        for row, (_, targets) in enumerate(masked):
            labels[row, 1 : len(targets) + 1] = torch.from_numpy(targets)
        extras = {} if self.extras is None else self.extras(chosen, numbers)
        return {**batch, "labels": labels, **extras}

    def first(self, count: int) -> list[Tensors]:
        """The next `count` batches, as a list."""
        return list(islice(iter(self), count))

    def state(self) -> dict[str, Any]:
        """Number of rows delivered to all ranks."""
        return {"rows": self.taken}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume after these rows."""
        self.taken = state["rows"]


def padded(texts: list[NDArray[np.int64]], tokenizer: WordPiece) -> Tensors:
    """[CLS] pieces [SEP], padded on the right: `input_ids` and `attention_mask` (b, l)."""
    width = max(len(ids) for ids in texts) + 2
    ids = torch.full((len(texts), width), tokenizer.pad)
    ids[:, 0] = tokenizer.cls
    mask = torch.zeros_like(ids)
    for row, pieces in enumerate(texts):
        ids[row, 1 : len(pieces) + 1] = torch.from_numpy(pieces)
        ids[row, len(pieces) + 1] = tokenizer.sep
        mask[row, : len(pieces) + 2] = 1
    return {"input_ids": ids, "attention_mask": mask}
