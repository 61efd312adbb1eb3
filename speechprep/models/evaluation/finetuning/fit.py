"""Fine-tuning over several seeds: each seed is one training, with the weights of its best validation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest
from speechprep.artifacts.shards import sha256_file
from speechprep.models.encoder.shapes import check_tokenizer, load_bert
from speechprep.models.evaluation.finetuning.classifier import (
    TERM,
    Kind,
    TextClassifier,
    collate,
    load_classifier,
    new_classifier,
    outputs,
)
from speechprep.models.evaluation.finetuning.declaration import TuningOptions
from speechprep.models.examples import ExampleBatches
from speechprep.models.training.options import TrainOptions
from speechprep.models.training.progress import METRICS
from speechprep.models.training.run import FINISHED, TrainingJob, train
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

F64 = NDArray[np.float64]
SIDES = ("train", "valid", "test")


@dataclass(frozen=True)
class Task:
    """Labelled texts of three sides.

    Attributes:
        name: name of its folder.
        kind: kind of the labels, see `TextClassifier`.
        names: name of each output.
        texts: side -> texts.
        labels: side -> (n,) indices of classes (int64) or numbers (float32), or (n, outputs) flags (float32). The test
            side is not read.
    """

    name: str
    kind: Kind
    names: list[str]
    texts: dict[str, list[str]]
    labels: dict[str, NDArray[Any]]


def fine_tune(model: str, task: Task, options: TuningOptions, note: Callable[[str], None]) -> dict[str, F64]:
    """(n, outputs) logits of the test texts by seed.

    Args:
        model: BERT folder with its tokenizer.
        task: the labelled texts.
        options: training options and seeds.
        note: called with one line about the best update of each seed.

    Raises:
        StaleArtifact: no BERT in the folder, or another tokenizer.
        ConfigError: `keep` contains other trainings.
    """
    tokenizer = WordPiece.load(model)
    start = load_bert(model)
    check_tokenizer(start, tokenizer, model)
    limit = start.config.max_position_embeddings - 2
    pieces = {side: _pieces(tokenizer, task.texts[side], limit) for side in SIDES}
    results: dict[str, F64] = {}
    for seed in dict.fromkeys(options.seeds):
        with _folder(options.keep, task.name, seed) as folder:
            training = training_options(options, seed, len(pieces["train"]))
            train(_job(model, task, pieces, tokenizer, training), training, folder, quiet=True)
            trained = load_classifier(str(folder))
            results[str(seed)] = outputs(trained, pieces["test"], tokenizer)
            note(f"{task.name}, seed {seed}: {_best(Path(folder))}")
    return results


def training_options(options: TuningOptions, seed: int, texts: int) -> TrainOptions:
    """Options of one training: whole epochs, with a validation after each."""
    updates = math.ceil(texts / options.rows)
    return TrainOptions.of(
        {
            "steps": updates * options.epochs, "rows": options.rows, "lr": options.lr, "dropout": options.dropout,
            "betas": (0.9, 0.999), "weight_decay": 0.01, "schedule": "linear", "seed": seed, "log_every": updates,
            "validate_every": updates, "best": TERM,
        }
    )  # fmt: skip


def _folder(keep: str | None, task: str, seed: int) -> AbstractContextManager[Any]:
    """The folder of one training: below `keep`, or a temporary one."""
    if keep is None:
        return TemporaryDirectory(prefix="speechprep-tuning-")
    return nullcontext(Path(keep) / f"{task}-seed{seed}")


def _pieces(tokenizer: WordPiece, texts: Sequence[str], limit: int) -> list[NDArray[np.int64]]:
    """Pieces of each text, cut after `limit`."""
    encoded = tokenizer.encode(texts)
    return [encoded.text(i)[0][:limit].astype(np.int64) for i in range(len(texts))]


def _job(
    model: str, task: Task, pieces: dict[str, list[NDArray[np.int64]]], tokenizer: WordPiece, options: TrainOptions
) -> TrainingJob:
    examples = {side: list(zip(pieces[side], task.labels[side], strict=True)) for side in ("train", "valid")}
    join = partial(collate, tokenizer=tokenizer)

    def built() -> TextClassifier:
        return new_classifier(model, task.kind, task.names, options.dropout)

    def validation(rank: int, world: int) -> list[Any]:
        """All validation texts, in batches of equal number on each rank; none twice."""
        own = examples["valid"][rank::world]
        return [join(own[i : i + options.rows]) for i in range(0, len(own), options.rows)]

    def finish(out: Path) -> None:
        tokenizer.save(out)

    digest = manifest.digest(
        [[[ids.tolist(), np.asarray(label).tolist()] for ids, label in rows] for rows in examples.values()]
    )
    return TrainingJob(
        model=built,
        batches=lambda rank, world: ExampleBatches(
            examples["train"], join, rows=options.rows, name="finetuning", seed=options.seed, rank=rank, world=world
        ),
        validation=validation,
        row_tokens=1,
        facts={
            "model": "finetuning", "init": manifest.digest(_weights(model)), "task": task.name, "kind": task.kind,
            "names": task.names, "tokenizer": tokenizer.fingerprint, "examples": digest,
        },
        finish=finish,
        export=lambda trained, out: trained.export(out),
    )  # fmt: skip


def _weights(folder: str) -> list[str]:
    """Hashes of the weight files of a BERT folder."""
    return [sha256_file(path) for path in sorted(Path(folder).glob("*")) if path.suffix in (".safetensors", ".bin")]


def _best(folder: Path) -> str:
    """The best update of a finished training and its validation loss."""
    facts = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    losses = {row["step"]: row[f"eval_{TERM}"] for row in rows if f"eval_{TERM}" in row}
    step = facts["best_step"]
    return f"best update {step:,} of {facts['steps']:,}, validation loss {losses[step]:.4f}"
