"""The reader for torch: an `IterableDataset`, and a loader with exact resume.

loader = Loader(reader, workers=2)
for batch in loader:            # tensors; worker processes read batches ahead
    ...
state = loader.state_dict()     # the position after the last delivered batch, independent of read-ahead
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from speechprep.models.data.masks import attention_mask, causal_labels
from speechprep.models.data.reader import Batch, Reader

TENSORS = ("input_ids", "document_ids", "modality_ids", "position_ids", "rows", "sources", "samples")


class ReaderDataset(IterableDataset[dict[str, Any]]):
    """Whole batches of a reader from its position on, divided among the workers of a `DataLoader`.

    Args:
        reader: the reader.
        labels: add `labels`, see `causal_labels`.
        mask: add an additive `attention_mask` (b, 1, L, L) float32 of 4 * b * L * L bytes: 0 where
            `masks.attention_mask` is True, else the lowest float32. OPT of transformers refuses a boolean mask on CUDA.
    """

    def __init__(self, reader: Reader, *, labels: bool = True, mask: bool = False) -> None:
        self.reader, self.labels, self.mask = reader, labels, mask

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches as tensors; in a worker process, the batches of this worker."""
        worker = get_worker_info()
        batches = self.reader.batches(*((worker.id, worker.num_workers) if worker else (0, 1)))
        for batch in batches:
            yield self.tensors(batch)

    def tensors(self, batch: Batch) -> dict[str, Any]:
        """A batch of arrays as tensors in shared memory, with labels and mask on request."""
        out: dict[str, Any] = {name: torch.from_numpy(batch[name]) for name in TENSORS}  # type: ignore[literal-required]
        if self.labels:
            out["labels"] = torch.from_numpy(causal_labels(batch["input_ids"], batch["document_ids"]))
        if self.mask:
            allowed = torch.from_numpy(attention_mask(batch["document_ids"]))
            out["attention_mask"] = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
        if "names" in batch:
            out["names"] = batch["names"]
        return out


class Loader:
    """Batches of a reader as tensors, with the state after the last delivered batch.

    Args:
        reader: the reader.
        workers: processes for reading ahead; 0 reads in this process. The order is the same for any number.
        labels, mask: see `ReaderDataset`.
        pin_memory: True for page-locked memory, faster to copy to a GPU.
    """

    def __init__(
        self, reader: Reader, workers: int = 0, *, labels: bool = True, mask: bool = False, pin_memory: bool = False
    ) -> None:
        self.reader, self.workers, self.pin_memory = reader, workers, pin_memory
        self.dataset = ReaderDataset(reader, labels=labels, mask=mask)
        self._begin, self._taken = reader.row, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches after the last delivered one."""
        self.reader.seek(self.row)
        self._begin, self._taken = self.reader.row, 0
        loader = DataLoader(self.dataset, batch_size=None, num_workers=self.workers, pin_memory=self.pin_memory)
        for batch in loader:
            self._taken += 1
            yield batch

    def __len__(self) -> int:
        """Number of batches, see `Reader`."""
        return len(self.reader)

    @property
    def row(self) -> int:
        """Global number of the first undelivered row."""
        return self.reader.row_after(self._taken, self._begin)

    def state_dict(self) -> dict[str, Any]:
        """State of the reader after the last delivered batch."""
        return self.reader.state(self.row)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume after a state; see `Reader.restore`."""

        self.reader.restore(state)
        self._begin, self._taken = self.reader.row, 0
