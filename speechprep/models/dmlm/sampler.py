"""Batches of several tasks in stated shares, in one order for any number of ranks, from any place on.

Sample number n of a training is a function of tasks, shares and seed. `data.schedule` gives the task, with exact
shares at all times; a permutation for each epoch of the task gives the item. A step of `world` ranks takes
the next `world * rows` samples. They are fitted into as few rows as can be, each sample a document of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechprep.artifacts import manifest
from speechprep.errors import StaleArtifact
from speechprep.models.data.masks import IGNORED
from speechprep.models.data.order import permutation, source_key
from speechprep.models.data.schedule import Schedule
from speechprep.models.dmlm.task_sequences import Task
from speechprep.tokenizers.arrays.keyed_random import salted
from speechprep.tokenizers.packing import best_fit


class MixedBatches:
    """See the module's text.

    Args:
        tasks: by name.
        shares: of the samples, relative, for each of the tasks.
        rows: samples of a batch of one rank.
        context: most tokens of a row.
        pad: id of padding.
        seed: of the order.
        rank, world: this process is number `rank` of `world`.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        shares: Mapping[str, float],
        *,
        rows: int,
        context: int,
        pad: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.tasks, self.rows, self.context, self.pad = list(tasks.values()), rows, context, pad
        self.rank, self.world = rank, world
        self.schedule = Schedule.of([Fraction(str(shares[name])) for name in tasks])
        self.keys = [source_key(seed, name) for name in tasks]
        self.orders: dict[int, tuple[int, NDArray[np.int64]]] = {}  # of the epoch that each task is in
        self.taken = 0
        self.made_of = {"seed": seed, "shares": self.schedule.counts.tolist(), "items": [len(t) for t in self.tasks]}

    def samples(self, begin: int, count: int) -> list[tuple[int, int]]:
        """Task and item of samples number `begin` and on."""
        which, number = self.schedule.locate(np.arange(begin, begin + count))
        return [(t, self._item(t, n)) for t, n in zip(which.tolist(), number.tolist(), strict=True)]

    def _item(self, task: int, number: int) -> int:
        epoch, place = divmod(number, len(self.tasks[task]))
        held = self.orders.get(task)
        if held is None or held[0] != epoch:
            held = epoch, permutation(salted(self.keys[task], epoch), len(self.tasks[task]))
            self.orders[task] = held
        return int(held[1][place])

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Batches of this rank from the place on."""
        while True:
            begin = self.taken + self.rank * self.rows
            self.taken += self.rows * self.world
            yield fit([self.tasks[t].sequence(i) for t, i in self.samples(begin, self.rows)], self.context, self.pad)

    def first(self, count: int) -> list[dict[str, torch.Tensor]]:
        """The next `count` batches, as a list."""
        return list(islice(iter(self), count))

    def state(self) -> dict[str, Any]:
        """Samples taken by all ranks, and the inputs of the order."""
        return {"samples": self.taken, **self.made_of}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after a state; rank, world and rows may be others.

        Raises:
            StaleArtifact: it is the state of another order.
        """
        known = {key: value for key, value in state.items() if key != "samples"}
        if known != self.made_of:
            differ = "; ".join(manifest.differences(known, self.made_of))
            raise StaleArtifact(f"this state is of another order of samples ({differ}); begin anew")
        self.taken = state["samples"]


def fit(
    sequences: list[tuple[NDArray[np.int64], NDArray[np.int64]]], context: int, pad: int
) -> dict[str, torch.Tensor]:
    """Sequences (tokens, labels) into rows of at most `context` tokens by best fit: input_ids, document_ids, labels."""
    lengths = np.array([len(ids) for ids, _ in sequences], np.int64)
    bins = best_fit(lengths, np.zeros(len(lengths), bool), context)
    width = max(int(lengths[b].sum()) for b in bins)
    ids = np.full((len(bins), width), pad, np.int64)
    labels = np.full_like(ids, IGNORED)
    documents = np.full_like(ids, -1)
    for row, chosen in enumerate(bins):
        at = 0
        for number, i in enumerate(chosen):
            span = slice(at, at + int(lengths[i]))
            ids[row, span], labels[row, span] = sequences[i]
            documents[row, span] = number
            at = span.stop
    made = {"input_ids": ids, "document_ids": documents, "labels": labels}
    return {name: torch.from_numpy(values) for name, values in made.items()}
