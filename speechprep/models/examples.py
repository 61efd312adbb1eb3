"""Batches of labelled examples for fine-tuning: shuffled in each epoch, with a position to save and restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from speechprep.models.data.order import permutation, source_key
from speechprep.tokenizers.arrays.keyed_random import salted

if TYPE_CHECKING:
    import torch

Collate = Callable[[Sequence[Any]], dict[str, "torch.Tensor"]]


class ExampleBatches:
    """Endless batches of examples.

    Args:
        examples: the examples, of any type.
        collate: function from examples to the tensors of a batch.
        rows: examples in a batch of one rank.
        name: salt of the order.
        seed: seed of the shuffling.
        rank, world: index of this process, and number of processes.
    """

    def __init__(
        self,
        examples: Sequence[Any],
        collate: Collate,
        *,
        rows: int,
        name: str,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.examples, self.collate, self.rows = examples, collate, rows
        self.key, self.rank, self.world = source_key(seed, name), rank, world
        self.taken = 0

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Batches of this rank from the current position on."""
        n, order, epoch = len(self.examples), np.zeros(0, np.int64), -1
        while True:
            begin = self.taken + self.rank * self.rows
            self.taken += self.rows * self.world
            chosen = []
            for number in range(begin, begin + self.rows):
                if number // n != epoch:
                    epoch = number // n
                    order = permutation(salted(self.key, epoch), n)
                chosen.append(self.examples[order[number % n]])
            yield self.collate(chosen)

    def first(self, count: int) -> list[dict[str, torch.Tensor]]:
        """The next `count` batches, as a list."""
        return list(islice(iter(self), count))

    def state(self) -> dict[str, Any]:
        """Number of examples delivered to all ranks."""
        return {"examples": self.taken}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume after these examples."""
        self.taken = state["examples"]
