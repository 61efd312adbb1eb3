"""Adapter of a `Reader` for the trainer: torch batches for a decoder, with a position to save and restore."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from speechprep.models.data import Reader


class PackedBatches:
    """Batches of packed rows as tensors. Each token of a document is a target, except the first.

    Args:
        reader: source of the rows.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Batches from the position of the reader on."""
        for batch in self.reader:
            ids = torch.from_numpy(batch["input_ids"])
            documents = torch.from_numpy(batch["document_ids"].astype(np.int64))
            positions = torch.from_numpy(batch["position_ids"])
            yield {"input_ids": ids, "document_ids": documents, "position_ids": positions, "labels": ids}

    def first(self, count: int) -> list[dict[str, torch.Tensor]]:
        """The next `count` batches, as a list."""
        return list(islice(iter(self), count))

    def state(self) -> dict[str, Any]:
        """State of the reader."""
        return self.reader.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state of the reader."""

        self.reader.restore(state)
