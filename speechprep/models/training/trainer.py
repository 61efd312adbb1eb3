"""transformers' `Trainer` with three changes: ordered and resumable data, losses divided over the whole update,
metrics by term.

* Batches come from a `Batches` with a position. A checkpoint holds the position, and a stopped run resumes with the
very next batch.
* The counts of targets are added over all batches and ranks of an update before the first of them is run, and each
  batch's loss is a sum divided by them (see `losses`). So one batch of eight rows, eight of one, and eight ranks with a
  row each have the same gradient.
* Losses are told apart by class of token, from sums and counts.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import Trainer

from speechprep.errors import ConfigError

PLACE = "place.json"  # in a checkpoint, written last: it makes the checkpoint complete


class Batches(Protocol):
    """An endless stream of batches of this rank."""

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Batches as the model's `forward` takes them, from the place on."""

    def state(self) -> dict[str, Any]:
        """The place, for JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a position, also of another number of ranks."""


class TermMeans:
    """Sums and counts by term since the last `take`."""

    def __init__(self, names: tuple[str, ...], device: torch.device) -> None:
        self.names = names
        self.sums = torch.zeros(len(names), dtype=torch.float64, device=device)
        self.counts = torch.zeros(len(names), dtype=torch.int64, device=device)

    def add(self, sums: torch.Tensor, counts: torch.Tensor) -> None:
        """One batch more; nothing waits for the device."""
        self.sums += sums
        self.counts += counts

    def take(self) -> dict[str, float]:
        """Mean of each present term over all ranks, and the number of tokens; then a new start."""
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.sums)
            torch.distributed.all_reduce(self.counts)
        sums, counts = self.sums.tolist(), self.counts.tolist()
        self.sums.zero_()
        self.counts.zero_()
        found = {name: s / n for name, s, n in zip(self.names, sums, counts, strict=True) if n}
        return {**found, "tokens": sum(counts)}


class ZooTrainer(Trainer):
    """See the module's text. The model has `classes`, `target_counts(**batch)`, and takes `counts` in `forward`."""

    def __init__(self, *, batches: Batches, validation: list[dict[str, torch.Tensor]], **other: Any) -> None:
        super().__init__(**other)
        self.model: Any
        self.batches, self.validation = batches, validation
        self.model_accepts_loss_kwargs = True  # ours divides by the counts of the whole update
        self.seen = TermMeans(tuple(term.name for term in self.model.loss_terms()), self.args.device)
        self.began = self.data_seconds = 0.0

    def get_train_dataloader(self) -> Any:
        """The batches as they come: they are this rank's already."""
        self.began, self.data_seconds = time.perf_counter(), 0.0
        return self.batches

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | None]:
        """The batches of one update, and its targets by class over all of them and all ranks."""
        began = time.perf_counter()
        found = []
        for _ in range(num_batches):
            batch = next(epoch_iterator, None)
            if batch is not None:
                found.append(self._prepare_inputs(batch))
        counts = sum((self.model.target_counts(**batch) for batch in found), torch.zeros_like(self.seen.counts))
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
        self.data_seconds += time.perf_counter() - began
        return found, counts

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - the library's signature
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """This batch's part of the update's loss, times the number of ranks: gradients are averaged over ranks."""
        out = model(**inputs, counts=num_items_in_batch)
        self.seen.add(out.sums, out.counts)
        loss = out.loss * self.args.world_size
        return (loss, out) if return_outputs else loss

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Mean losses over the validation batches, by class."""
        found = TermMeans(tuple(term.name for term in self.model.loss_terms()), self.args.device)
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in self.validation:
                out = self.model(**self._prepare_inputs(batch))
                found.add(out.sums, out.counts)
        self.model.train()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.take().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Losses by term beside transformers' own figures; an infinite or undefined loss ends the run."""
        if "loss" in logs:
            now = time.perf_counter()
            logs |= self.seen.take()
            logs["tokens_per_second"] = logs["tokens"] / (now - self.began)
            logs["data_share"] = self.data_seconds / (now - self.began)
            self.began, self.data_seconds = now, 0.0
        super().log(logs)
        if not math.isfinite(logs.get("loss", 0.0)):
            raise ConfigError(
                f"the loss is {logs['loss']} at step {self.state.global_step}; try a smaller lr, or precision=fp32"
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
            half = folder / f"{PLACE}.tmp"
            half.write_text(json.dumps(self.batches.state()), encoding="utf-8")
            half.rename(folder / PLACE)

    def _rotate_checkpoints(self, use_mtime: bool = False, output_dir: str | None = None) -> None:  # noqa: FBT001, FBT002
        super()._rotate_checkpoints(use_mtime=False, output_dir=output_dir)  # by number: clocks of disks are coarse
