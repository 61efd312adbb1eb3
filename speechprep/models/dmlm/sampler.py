"""Batches of several tasks in fixed shares, in one order for any number of ranks, with exact resume.

Sample number n of a training is a function of tasks, shares and seed. `data.schedule` gives the task, with exact shares
at all times; a permutation for each epoch of the task gives the item. A step of `world` ranks takes the next
`world * rows` samples. Best fit packs them into rows; each sample is a document.
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
from speechprep.models.dmlm.task_sequences import TaskSequences
from speechprep.tokenizers.arrays.keyed_random import salted
from speechprep.tokenizers.packing import best_fit


class MixedBatches:
    """Endless stream of batches of several tasks.

    Args:
        tasks: name -> sequences of the task.
        shares: name -> relative share of the samples.
        rows: samples in a batch of one rank.
        context: largest number of tokens of a row.
        pad: padding id.
        seed: seed of the order.
        rank, world: index of this process, and number of processes.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskSequences],
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
        self.orders: dict[int, tuple[int, NDArray[np.int64]]] = {}  # task -> its current epoch and the order of items
        self.taken = 0
        self.order_parameters = {
            "seed": seed,
            "shares": self.schedule.counts.tolist(),
            "items": [len(t) for t in self.tasks],
        }

    def samples(self, begin: int, count: int) -> list[tuple[int, int]]:
        """Indices of task and item of `count` samples from number `begin` on."""
        which, number = self.schedule.locate(np.arange(begin, begin + count))
        return [(t, self._item(t, n)) for t, n in zip(which.tolist(), number.tolist(), strict=True)]

    def _item(self, task: int, number: int) -> int:
        epoch, place = divmod(number, len(self.tasks[task]))
        order = self.orders.get(task)
        if order is None or order[0] != epoch:
            order = epoch, permutation(salted(self.keys[task], epoch), len(self.tasks[task]))
            self.orders[task] = order
        return int(order[1][place])

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Batches of this rank from the current position on."""
        while True:
            begin = self.taken + self.rank * self.rows
            self.taken += self.rows * self.world
            yield fit([self.tasks[t].sequence(i) for t, i in self.samples(begin, self.rows)], self.context, self.pad)

    def first(self, count: int) -> list[dict[str, torch.Tensor]]:
        """The next `count` batches, as a list."""
        return list(islice(iter(self), count))

    def state(self) -> dict[str, Any]:
        """Number of samples delivered to all ranks, and the parameters of the order."""
        return {"samples": self.taken, **self.order_parameters}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume after a state, with any rank, world and rows.

        Raises:
            StaleArtifact: the state belongs to another order; the message lists the differences.
        """
        parameters = {key: value for key, value in state.items() if key != "samples"}
        if parameters != self.order_parameters:
            changes = "; ".join(manifest.differences(parameters, self.order_parameters))
            raise StaleArtifact(f"the state belongs to another order of samples ({changes}); restart the training")
        self.taken = state["samples"]


def fit(
    sequences: list[tuple[NDArray[np.int64], NDArray[np.int64]]], context: int, pad: int
) -> dict[str, torch.Tensor]:
    """A batch (input_ids, document_ids, labels) from sequences (tokens, labels), packed by best fit.

    Args:
        sequences: tokens and labels of each sample, (l,) each.
        context: largest number of tokens of a row.
        pad: padding id.
    """
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
    arrays = {"input_ids": ids, "document_ids": documents, "labels": labels}
    return {name: torch.from_numpy(values) for name, values in arrays.items()}
