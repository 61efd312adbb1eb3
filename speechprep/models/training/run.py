"""Training of a model into a folder, with exact resume.

models/x/
  train.json          model, data fingerprints and options. A training with other values is refused.
  metrics.jsonl       metrics, one line every `log_every` updates.
  checkpoint-500/     weights, optimizer, schedule, random state and data position; the newest ones are kept.
  config.json, model.safetensors, ..    the trained model, written after the last update.
  finished.json       written last; its presence means the folder is complete.
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
    """Model-specific parts of a training.

    Attributes:
        model: builds the model; called after the seed is set. See `ZooTrainer` for the required methods.
        batches: (rank, world) -> training batches of a rank.
        validation: (rank, world) -> validation batches of a rank, equally many on all ranks; empty for none.
        row_tokens: mean number of tokens of a row, for `batch_tokens`.
        facts: all inputs that change the weights, besides the options: fingerprints of data and vocabulary.
        finish: writes further files to the folder of the trained model.
        export: (trained model, folder) -> writes the model; default: `save_pretrained` of the trained model.
    """

    model: Callable[[], PreTrainedModel]
    batches: Callable[[int, int], Batches]
    validation: Callable[[int, int], list[dict[str, torch.Tensor]]]
    row_tokens: int
    facts: dict[str, Any]
    finish: Callable[[Path], None]
    export: Callable[[Any, Path], None] = lambda model, out: model.save_pretrained(out)


def train(
    job: TrainingJob, options: TrainOptions, out: str | Path, *, rebuild: bool = False, quiet: bool = False
) -> bool:
    """Train a model, or resume its training.

    Args:
        job: model-specific parts.
        options: training options.
        out: folder of the trained model.
        rebuild: replace another training in `out`.
        quiet: print nothing.

    Returns:
        False if `stop_at` ended the training early.

    Raises:
        ConfigError: `out` contains another training, without `rebuild`; or `best` is no loss term of a validation.
        TrainingStopped: see `terminable`.
    """
    out = Path(out)
    arguments = training_arguments(options, out)
    rank, world = arguments.process_index, arguments.world_size
    accumulate = options.accumulation(job.row_tokens, world)
    arguments.gradient_accumulation_steps = accumulate
    batches = job.batches(rank, world)
    is_first_rank = arguments.should_save
    plan = json.loads(json.dumps({"options": options.model_dump(exclude=set(FREE)), **job.facts}))
    with arguments.main_process_first(desc="plan"):
        _check(out, plan, rebuild=rebuild and is_first_rank)
    arguments.distributed_state.wait_for_everyone()  # no rank writes before all ranks have checked the folder
    if (out / FINISHED).exists():
        return True
    set_seed(options.seed)
    model = job.model()
    if hasattr(model, "attention"):  # a model of packed rows
        model.attention = options.attention
    _check_best(options, [term.name for term in model.loss_terms()])
    if is_first_rank:  # after the model is built, so that a refused model leaves no folder
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
    if done and is_first_rank:
        job.finish(out)
        job.export(model, out)
        facts = {"steps": options.steps} | ({"best_step": trainer.state.best_global_step} if options.best else {})
        (out / FINISHED).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    trainer.accelerator.wait_for_everyone()
    return done


def _check_best(options: TrainOptions, terms: list[str]) -> None:
    """Check the option `best` against the loss terms of the model."""
    if options.best not in (None, *terms):
        raise ConfigError(f"best = {options.best} is no loss term of the model; set one of {', '.join(terms)}")
    if options.best is not None and not options.validate_every:
        raise ConfigError(f"best = {options.best} needs validations; set validate_every")


def training_arguments(options: TrainOptions, out: Path) -> TrainingArguments:
    """The options as arguments of transformers' trainer."""
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
        tf32=True if options.precision == "tf32" and gpu else None,
        optim="adamw_torch_fused",
        torch_compile=options.compile,
        gradient_checkpointing=options.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if options.checkpointing else None,
        use_cpu=not gpu,
        ddp_backend="gloo" if not gpu and "WORLD_SIZE" in os.environ else None,  # torchrun sets WORLD_SIZE
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        logging_steps=options.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_steps=options.validate_every if options.best else options.save_every,
        save_total_limit=options.keep,
        eval_strategy="steps" if options.validate_every else "no",
        eval_steps=options.validate_every or None,
        load_best_model_at_end=options.best is not None and options.validate_every > 0,
        metric_for_best_model=f"eval_{options.best}" if options.best else None,
        greater_is_better=False if options.best else None,
        ignore_data_skip=True,  # `Batches.restore` sets the position instead
        disable_tqdm=True,
        report_to=[],
        dataloader_pin_memory=False,
    )


def _check(out: Path, plan: dict[str, Any], *, rebuild: bool) -> None:
    """Check that `out` is free or contains the same training. With `rebuild`, another training is removed."""
    path = out / PLAN
    if rebuild and out.exists():
        if not path.exists():
            raise ConfigError(f"--out {out} was not made by train; remove it yourself, or name another folder")
        shutil.rmtree(out)
    if path.exists():
        changes = differences(json.loads(path.read_text(encoding="utf-8")), plan)
        if changes:
            raise ConfigError(
                f"{out} contains another training ({'; '.join(changes)}); name another --out, or add --rebuild"
            )
    elif out.exists() and any(out.iterdir()):
        raise ConfigError(f"--out {out} is not empty and was not made by train; name another folder")


def last_checkpoint(out: Path) -> Path | None:
    """The newest complete checkpoint of a folder."""
    complete = [path.parent for path in out.glob(f"checkpoint-*/{PLACE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def check_vocabulary(model: PreTrainedModel, size: int, fingerprint: str, where: str) -> None:
    """Check that a model was trained on a vocabulary.

    Args:
        model: the trained model.
        size, fingerprint: size and fingerprint of the vocabulary.
        where: folder of the vocabulary, for the message.

    Raises:
        StaleArtifact: another vocabulary; the message names both.
    """
    config = model.config
    if config.vocab_size != size:
        raise StaleArtifact(
            f"the model has {config.vocab_size} tokens, the vocabulary in {where} has {size}; use matching ones"
        )
    if config.vocabulary != fingerprint:
        raise StaleArtifact(
            f"the model was trained on vocabulary {config.vocabulary[:12]}, {where} is {fingerprint[:12]}; "
            "use the vocabulary of the model"
        )


@contextmanager
def terminable(trainer: ZooTrainer) -> Iterator[None]:
    """Context in which SIGTERM ends the training after the current update, with a checkpoint.

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
        raise TrainingStopped(f"SIGTERM after step {step:,}, a checkpoint was written; resume with the same command")


class _Terminated(TrainerCallback):
    """Callback that ends a training with a checkpoint after SIGTERM."""

    def __init__(self) -> None:
        self.received = False

    def receive(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle the signal: note it."""
        self.received = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Check for the end of the training after each update."""
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
    """Callback that ends a training with a checkpoint after the update `step`."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Check for the end of the training after each update."""
        if self.step is not None and state.global_step >= self.step:
            control.should_save = control.should_training_stop = True
        return control
