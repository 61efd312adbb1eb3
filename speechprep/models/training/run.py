"""From options to a trained model in a folder, and on from where an earlier run stopped.

models/x/
  train.json          what is trained, on what, with which options; another run with others is refused
  metrics.jsonl       a line every `log_every` updates
  checkpoint-500/     weights, optimizer, schedule, random state and place in the data; the last few
  config.json, model.safetensors, ..    the model, written when the last update is done
  finished.json       says that all of it is there
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback

from speechprep.artifacts.manifest import differences
from speechprep.errors import ConfigError, StaleArtifact, TrainingStopped
from speechprep.models.training.options import FREE, TrainOptions
from speechprep.models.training.progress import Progress
from speechprep.models.training.trainer import PLACE, Batches, ZooTrainer

PLAN, FINISHED = "train.json", "finished.json"


@dataclass(frozen=True)
class TrainingJob:
    """The parts of a training from the model's own code.

    Attributes:
        model: makes the model; called when the data have been checked and the seed is set.
        batches: makes the stream of a rank: batches(rank, world).
        validation: makes the batches of a validation, of a rank; empty for none.
        row_tokens: tokens of a row, for `batch_tokens`.
        facts: further facts with an influence on the weights: fingerprints of data and vocabulary.
        finish: writes the other files of the model's folder.
    """

    model: Callable[[], PreTrainedModel]
    batches: Callable[[int, int], Batches]
    validation: Callable[[int, int], list[dict[str, torch.Tensor]]]
    row_tokens: int
    facts: dict[str, Any]
    finish: Callable[[Path], None]


def train(
    job: TrainingJob, options: TrainOptions, out: str | Path, *, rebuild: bool = False, quiet: bool = False
) -> bool:
    """Train or resume; returns False if `stop_at` ended the training early.

    Raises:
        ConfigError: `out` holds another training than this one, and `rebuild` was not said.
    """
    out = Path(out)
    arguments = training_arguments(options, out)
    rank, world = arguments.process_index, arguments.world_size
    accumulate = options.accumulation(job.row_tokens, world)
    arguments.gradient_accumulation_steps = accumulate
    batches = job.batches(rank, world)
    first = arguments.should_save
    plan = json.loads(json.dumps({"options": options.model_dump(exclude=set(FREE)), **job.facts}))
    with arguments.main_process_first(desc="plan"):
        _check(out, plan, rebuild=rebuild and first)
    arguments.distributed_state.wait_for_everyone()  # nothing is written before all have looked
    if (out / FINISHED).exists():
        return True
    set_seed(options.seed)
    model = job.model()
    if first:  # only now: a model that is refused leaves no folder behind
        out.mkdir(parents=True, exist_ok=True)
        (out / PLAN).write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    checkpoint = last_checkpoint(out)
    validation = job.validation(rank, world) if options.validate_every else []
    trainer = ZooTrainer(
        model=model, args=arguments, batches=batches, validation=validation, eval_dataset=validation or None,
        train_dataset=batches, callbacks=[Progress(out, options.steps, quiet=quiet), _StopAt(options.stop_at)],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    if checkpoint is not None:
        batches.restore(json.loads((checkpoint / PLACE).read_text(encoding="utf-8")))
    with terminable(trainer):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    done: bool = trainer.state.global_step >= options.steps
    if done and first:
        job.finish(out)
        model.save_pretrained(out)
        (out / FINISHED).write_text(json.dumps({"steps": options.steps}) + "\n", encoding="utf-8")
    trainer.accelerator.wait_for_everyone()
    return done


def training_arguments(options: TrainOptions, out: Path) -> TrainingArguments:
    """The options in transformers' terms."""
    gpu = torch.cuda.is_available()
    bf16 = options.precision == "bf16" or (options.precision == "auto" and gpu)
    return TrainingArguments(
        output_dir=str(out),
        max_steps=options.steps,
        per_device_train_batch_size=options.rows,
        learning_rate=options.lr,
        adam_beta1=options.betas[0],
        adam_beta2=options.betas[1],
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_steps,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(options.schedule, options.schedule),
        max_grad_norm=options.clip,
        seed=options.seed,
        data_seed=options.seed,
        bf16=bf16,
        use_cpu=not gpu,
        ddp_backend="gloo" if not gpu and "WORLD_SIZE" in os.environ else None,  # as torchrun sets it
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        logging_steps=options.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_steps=options.save_every,
        save_total_limit=options.keep,
        eval_strategy="steps" if options.validate_every else "no",
        eval_steps=options.validate_every or None,
        ignore_data_skip=True,  # `Batches.restore` is the way back, in no time
        disable_tqdm=True,
        report_to=[],
        dataloader_pin_memory=False,
    )


def _check(out: Path, plan: dict[str, Any], *, rebuild: bool) -> None:
    """Check for a free folder or the same training; with `rebuild`, another training is removed."""
    found = out / PLAN
    if rebuild and out.exists():
        if not found.exists():
            raise ConfigError(f"--out {out} was not made by train; remove it yourself, or name another folder")
        shutil.rmtree(out)
    if found.exists():
        differ = differences(json.loads(found.read_text(encoding="utf-8")), plan)
        if differ:
            raise ConfigError(
                f"{out} holds another training ({'; '.join(differ)}); name another --out, or say --rebuild"
            )
    elif out.exists() and any(out.iterdir()):
        raise ConfigError(f"--out {out} is not empty and was not made by train; name another folder")


def last_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint of a folder."""
    complete = [path.parent for path in out.glob(f"checkpoint-*/{PLACE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def check_vocabulary(model: PreTrainedModel, size: int, fingerprint: str, where: str) -> None:
    """Refuse weights of another vocabulary.

    Raises:
        StaleArtifact: naming both sides.
    """
    config = model.config
    if config.vocab_size != size:
        raise StaleArtifact(f"the model has {config.vocab_size} tokens, the vocabulary in {where} has {size}")
    if config.vocabulary != fingerprint:
        raise StaleArtifact(
            f"the model was trained on vocabulary {config.vocabulary[:12]}, {where} is {fingerprint[:12]}"
        )


@contextmanager
def terminable(trainer: ZooTrainer) -> Iterator[None]:
    """SIGTERM inside ends the training after the present update, with a checkpoint.

    Raises:
        TrainingStopped: SIGTERM was received. Only the main thread can receive it.
    """
    stop = _Terminated()
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop.receive) if main else None
    trainer.add_callback(stop)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
    if stop.received:
        step = trainer.state.global_step
        raise TrainingStopped(f"SIGTERM after step {step:,}: a checkpoint is written; the same command resumes from it")


class _Terminated(TrainerCallback):
    """Ends a run with a checkpoint after the update with a SIGTERM."""

    def __init__(self) -> None:
        self.received = False

    def receive(self, _signal: int, _frame: FrameType | None) -> None:
        """Signal handler."""
        self.received = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """After each update."""
        if self._any_rank(args.device):
            self.received = control.should_save = control.should_training_stop = True
        return control

    def _any_rank(self, device: torch.device) -> bool:
        """Whether any rank has received the signal: all ranks must stop after the same update."""
        if not torch.distributed.is_initialized():
            return self.received
        flag = torch.tensor([int(self.received)], device=device)
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
        return bool(flag.item())


class _StopAt(TrainerCallback):
    """Ends a run early, with a checkpoint."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """After each update."""
        if self.step is not None and state.global_step >= self.step:
            control.should_save = control.should_training_stop = True
        return control
