"""Progress of a training: a line on the screen and a line in `metrics.jsonl`, both written by rank 0."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from speechprep.models.losses import UNITS

METRICS = "metrics.jsonl"
_NOT_TERMS = ("loss", "grad_norm", "learning_rate", "data_share")


class Progress(TrainerCallback):
    """Reports the loss terms, the rate and the remaining time.

    Args:
        out: folder of the metrics.
        steps: number of updates of the training.
        quiet: True to print nothing.
    """

    def __init__(self, out: Path, steps: int, *, quiet: bool) -> None:
        self.out, self.steps, self.quiet = out, steps, quiet
        self.began, self.from_step = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Remove the metrics of updates after the checkpoint."""
        self.began, self.from_step = time.perf_counter(), state.global_step
        if not state.is_world_process_zero:
            return
        path = self.out / METRICS
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= state.global_step]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        if state.global_step and not self.quiet:
            sys.stdout.write(f"resumes after step {state.global_step:,} of {self.steps:,}\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Log the last update for any `log_every`."""
        if state.global_step >= self.steps:
            control.should_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Write a line to the metrics and to the screen."""
        if not state.is_world_process_zero or logs is None or "train_runtime" in logs:
            return
        figures = {key: value for key, value in logs.items() if key != "epoch"}
        with (self.out / METRICS).open("a", encoding="utf-8") as f:
            f.write(json.dumps({"step": state.global_step, **figures}) + "\n")
        if not self.quiet:
            sys.stdout.write(self._line(state.global_step, figures) + "\n")
            sys.stdout.flush()

    def _line(self, step: int, figures: dict[str, float]) -> str:
        parts = [f"step {step:>{len(str(self.steps))}}/{self.steps}"]
        if "loss" in figures:
            parts += [f"loss {figures['loss']:.3f}"]
        totals = {f"{prefix}{unit}{rate}" for prefix in ("", "eval_") for unit in UNITS for rate in ("", "_per_second")}
        parts += [
            f"{name} {value:.3f}" for name, value in figures.items() if name not in _NOT_TERMS and name not in totals
        ]
        if "loss" in figures:
            seconds = (time.perf_counter() - self.began) / max(step - self.from_step, 1) * (self.steps - step)
            unit = next(unit for unit in UNITS if f"{unit}_per_second" in figures)
            parts += [f"lr {figures['learning_rate']:.2e}", f"{figures[f'{unit}_per_second']:,.0f} {unit}/s"]
            parts += [f"{int(seconds // 60)}:{int(seconds % 60):02d} left"]
        return "  ".join(parts)
