"""The trainer: transformers' `Trainer` with resumable data, and loss terms divided over the whole update.

* Batches come from a `Batches` with a position. A checkpoint holds the position; a run resumes with the next batch.
* The counts of each loss term are added over all batches and ranks of an update before its first forward pass. The
  loss of a batch is its sums divided by these counts (see `losses`). One batch of 8 rows, 8 batches of 1 row, and 8
  ranks with 1 row each therefore have the same gradient. Contrastive terms need the same items in each step instead.
* The metrics hold the mean of each term, computed from sums and counts over all ranks.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import Trainer

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.losses import UNITS, LossTerm

PLACE = "place.json"  # data position in a checkpoint; written last, so its presence means the checkpoint is complete


class Batches(Protocol):
    """Protocol of an endless stream of batches for one rank."""

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Keyword arguments of the model's `forward`, from the current position on."""

    def state(self) -> dict[str, Any]:
        """The position as JSON values, equal on all ranks."""

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a position, with any number of ranks."""


class TermMeans:
    """Accumulator of the sums and counts of loss terms.

    Args:
        terms: the terms of the model, in the order of its sums and counts.
        device: device of the model.
    """

    def __init__(self, terms: Sequence[LossTerm], device: torch.device) -> None:
        self.terms = terms
        self.sums = torch.zeros(len(terms), dtype=torch.float64, device=device)
        self.counts = torch.zeros(len(terms), dtype=torch.int64, device=device)

    def add(self, sums: torch.Tensor, counts: torch.Tensor) -> None:
        """Add a batch, without synchronising with the device."""
        self.sums += sums
        self.counts += counts

    def take(self) -> dict[str, float]:
        """Mean of each present term over all ranks, and the total count of each unit; then reset."""
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.sums)
            torch.distributed.all_reduce(self.counts)
        sums, counts = self.sums.tolist(), self.counts.tolist()
        self.sums.zero_()
        self.counts.zero_()
        figures: dict[str, float] = {}
        totals = dict.fromkeys((term.unit for term in self.terms), 0)
        for term, total, count in zip(self.terms, sums, counts, strict=True):
            totals[term.unit] += count
            if count:
                figures[term.name] = total / count
        return figures | totals


class ZooTrainer(Trainer):
    """Trainer of the zoo.

    Args:
        batches: training batches of this rank.
        validation: validation batches of this rank; empty for none.
        other: arguments of transformers' `Trainer`. The model has `loss_terms()`, `target_counts(**batch)`, and a
            `forward(**batch, counts=...)` with the outputs `loss`, `sums` and `counts`.
    """

    def __init__(self, *, batches: Batches, validation: list[dict[str, torch.Tensor]], **other: Any) -> None:
        super().__init__(**other)
        self.model: Any
        self.batches, self.validation = batches, validation
        self.model_accepts_loss_kwargs = True  # prevents a second division of the loss in `Trainer`
        self.means = TermMeans(self.model.loss_terms(), self.args.device)
        self.began = self.data_seconds = 0.0

    def get_train_dataloader(self) -> Any:
        """The batches themselves, because they belong to this rank already."""
        self.began, self.data_seconds = time.perf_counter(), 0.0
        return self.batches

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | None]:
        """The batches of one update, and the counts of its loss terms over all batches and ranks."""
        began = time.perf_counter()
        batches = []
        for _ in range(num_batches):
            batch = next(epoch_iterator, None)
            if batch is not None:
                batches.append(self._prepare_inputs(batch))
        counts = sum((self.model.target_counts(**batch) for batch in batches), torch.zeros_like(self.means.counts))
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
        self.data_seconds += time.perf_counter() - began
        return batches, counts

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - the library's signature
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """The batch's part of the loss of the update, times the number of ranks, because gradients are averaged."""
        out = model(**inputs, counts=num_items_in_batch)
        self.means.add(out.sums, out.counts)
        loss = out.loss * self.args.world_size
        return (loss, out) if return_outputs else loss

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Mean of each loss term over the validation batches."""
        means = TermMeans(self.model.loss_terms(), self.args.device)
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in self.validation:
                out = self.model(**self._prepare_inputs(batch))
                means.add(out.sums, out.counts)
        self.model.train()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.take().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the loss terms and rates to the metrics. A loss of NaN or infinity ends the training."""
        if "loss" in logs:
            now = time.perf_counter()
            logs |= self.means.take()
            for unit in UNITS:
                if unit in logs:
                    logs[f"{unit}_per_second"] = logs[unit] / (now - self.began)
            logs["data_share"] = self.data_seconds / (now - self.began)
            self.began, self.data_seconds = now, 0.0
        super().log(logs)
        if not math.isfinite(logs.get("loss", 0.0)):
            raise ConfigError(
                f"the loss is {logs['loss']} at step {self.state.global_step}; set a lower lr, or precision=fp32"
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
            temporary = folder / f"{PLACE}.tmp"
            temporary.write_text(json.dumps(self.batches.state()), encoding="utf-8")
            temporary.rename(folder / PLACE)

    def _load_best_model(self) -> None:
        """Load the best checkpoint of this folder: the folder may have another name than in the state of a resumed run.

        Raises:
            StaleArtifact: the checkpoint is absent.
        """
        best = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.best_global_step}"
        if not (best / PLACE).is_file():
            raise StaleArtifact(f"{best} has the weights of the best validation and is absent; restore it")
        self.state.best_model_checkpoint = str(best)
        super()._load_best_model()

    def _rotate_checkpoints(self, use_mtime: bool = False, output_dir: str | None = None) -> None:  # noqa: FBT001, FBT002
        super()._rotate_checkpoints(use_mtime=False, output_dir=output_dir)  # by step, file times are too coarse
