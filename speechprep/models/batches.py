"""A `Reader` as a trainer's stream: NumPy arrays in, tensors for a decoder out, and the place kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch

from speechprep.models.data import Reader


class PackedBatches:
    """Batches of packed rows; each token of a document is a target but its first.

    Args:
        reader: where they come from.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """From the reader's place on."""
        for batch in self.reader:
            ids = torch.from_numpy(batch["input_ids"])
            documents = torch.from_numpy(batch["document_ids"].astype(np.int64))
            places = torch.from_numpy(batch["position_ids"])
            yield {"input_ids": ids, "document_ids": documents, "position_ids": places, "labels": ids}

    def first(self, count: int) -> list[dict[str, torch.Tensor]]:
        """The next `count` batches, as a list."""
        return list(islice(iter(self), count))

    def state(self) -> dict[str, Any]:
        """The reader's place."""
        return self.reader.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Put the reader there."""
        self.reader.restore(state)
