"""What a training step costs outside the model: data, collation, counting targets, metrics, the loop itself.

    python benchmarks/training.py [--data RUN] [--size 125m] [--steps 4] [--rows 2] [--context 512]

Trains a SUTLM with the trainer of `speechprep train` on one thread of the CPU and takes the processor time of the
forward pass, the backward pass, clipping and AdamW; all else is outside. The same batches then go through a bare loop
in PyTorch with the same model, for the ratio of the two. Needs: pip install 'speechprep[train]'.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from speechprep.models.sutlm.train import SutlmOptions, training_job
from speechprep.models.training import run as training
from speechprep.models.training.trainer import ZooTrainer


class Inside:
    """Processor seconds of the calls that are the model's work."""

    def __init__(self) -> None:
        self.seconds = self.began = 0.0

    def begin(self) -> None:
        self.began = time.process_time()

    def end(self) -> None:
        self.seconds += time.process_time() - self.began

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.begin()
            found = call(*args, **kwargs)
            self.end()
            return found

        return timed


class Timed(ZooTrainer):
    """Times the steps after the first, which sets things up."""

    def __init__(self, **other: Any) -> None:
        super().__init__(**other)
        self.inside = Inside()
        self.model.forward = self.inside.wrap(self.model.forward)
        self.accelerator.backward = self.inside.wrap(self.accelerator.backward)
        self.accelerator.clip_grad_norm_ = self.inside.wrap(self.accelerator.clip_grad_norm_)
        self.kept: list[dict[str, torch.Tensor]] = []

    def create_optimizer(self) -> Any:
        made = super().create_optimizer()
        made.register_step_pre_hook(lambda *_: self.inside.begin())
        made.register_step_post_hook(lambda *_: self.inside.end())
        return made

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        if "loss" in logs:
            self.stopped = time.process_time()

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 1:
            self.start, self.inside.seconds = time.process_time(), 0.0
        found = super().get_batch_samples(*args, **kwargs)
        if self.state.global_step:
            self.kept += found[0]
        return found


def measure(data: str, options: SutlmOptions, out: Path) -> tuple[float, float, Timed]:
    """Processor seconds of all steps but the first, those inside the model, and the trainer."""
    made: list[Timed] = []

    def trainer(**arguments: Any) -> Timed:
        made.append(Timed(**arguments))
        return made[0]

    training.ZooTrainer, plain = trainer, training.ZooTrainer  # type: ignore[misc, assignment]
    try:
        training.train(training_job([data], options), options, out, quiet=True)
    finally:
        training.ZooTrainer = plain  # type: ignore[misc]
    return made[0].stopped - made[0].start, made[0].inside.seconds, made[0]


def bare(model: PreTrainedModel, batches: list[dict[str, torch.Tensor]], options: SutlmOptions) -> float:
    """Processor seconds of the same steps in a plain training loop."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.lr, betas=options.betas, weight_decay=options.weight_decay, fused=True
    )
    began = 0.0
    for number, batch in enumerate([batches[0], *batches]):
        if number == 1:
            began = time.process_time()
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="run folder (default: the demo corpus, made for this)")
    parser.add_argument("--size", default="125m")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--context", type=int, default=512)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        data = arguments.data
        if data is None:
            data = f"{scratch}/demo"
            subprocess.run([sys.executable, "-m", "speechprep", "demo", "--out", data, "-q"], check=True)
        options = SutlmOptions.of(
            {
                "size": arguments.size, "context": arguments.context, "rows": arguments.rows, "batch_tokens": None,
                "steps": arguments.steps + 1, "log_every": 1, "save_every": 10_000,
            }
        )  # fmt: skip
        whole, inside, trainer = measure(data, options, Path(scratch) / "model")
        tokens = sum(int((batch["document_ids"] >= 0).sum()) for batch in trainer.kept)
        trainer.model.forward = type(trainer.model).forward.__get__(trainer.model)
        loop = bare(trainer.model, trainer.kept, options)
    outside = whole - inside
    print(f"{arguments.size} shape, {arguments.rows} x {arguments.context} tokens, {arguments.steps} steps, 1 thread")
    print(f"a step          {whole / arguments.steps:8.3f} s of processor, {tokens / whole:,.0f} tokens/s")
    print(f"inside          {inside / arguments.steps:8.3f} s: forward, backward, clipping, AdamW")
    print(f"outside         {1000 * outside / arguments.steps:8.1f} ms: {outside / whole:.2%} of the step")
    print(f"bare loop       {loop / arguments.steps:8.3f} s: the trainer takes {whole / loop:.3f} x its time")


if __name__ == "__main__":
    main()
