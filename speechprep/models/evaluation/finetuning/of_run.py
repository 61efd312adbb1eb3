"""`speechprep eval finetune`: fine-tuning on labels of the texts of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.models.encoder.texts import Text, load_texts
from speechprep.models.evaluation.bootstrap import Bootstrap, precision_recall_f1, share
from speechprep.models.evaluation.files import Table
from speechprep.models.evaluation.finetuning.declaration import FinetuneOptions
from speechprep.models.evaluation.finetuning.fit import SIDES, Task, fine_tune
from speechprep.models.evaluation.finetuning.table import COLUMNS, line
from speechprep.models.evaluation.mosei.scores import SENTIMENT, Measure, over_seeds
from speechprep.models.zoo import EvaluationResult
from speechprep.tokenizers.arrays.keyed_random import record_keys, unit_interval

F64 = NDArray[np.float64]


def evaluate(models: list[str], runs: list[str], options: FinetuneOptions) -> EvaluationResult:
    """Fine-tune a model on labels of the run `runs[0]`, and score its test side."""
    found = Table(options.labels, options.id_column).texts(options.column)
    rows = [row for row in load_texts(runs, rows=options.texts).rows if found.get(row.id)]
    if not rows:
        raise ConfigError(f"{options.labels} has no label for a text of {runs[0]}; give labels with the ids of the run")
    sides = _sides(rows, runs, options)
    labels = {side: [found[row.id] for row in part] for side, part in sides.items()}
    names, targets = _targets(labels, options)
    texts = {side: [row.text for row in part] for side, part in sides.items()}
    notes: list[str] = []
    centre, scale = (0.0, 1.0) if options.task == "classes" else _scale(targets["train"])
    inputs = targets if options.task == "classes" else {n: (v - centre) / scale for n, v in targets.items()}
    logits = fine_tune(models[0], Task("labels", options.task, names, texts, inputs), options, notes.append)
    logits = {seed: values * scale + centre for seed, values in logits.items()}
    scores = _scores(sides["test"], names, targets, logits, options)
    listing = ", ".join(f"{side} {len(part):,}" for side, part in sides.items())
    shared = {row.text for row in sides["test"]} & {row.text for row in sides["train"]}
    notes.append(f"texts: {listing}; {len(shared):,} texts of the test side are texts of the training side too")
    return EvaluationResult(scores, COLUMNS, [line(score) for score in scores], notes=notes)


def _sides(rows: list[Text], runs: list[str], options: FinetuneOptions) -> dict[str, list[Text]]:
    """Rows of each side, sorted by id: by splits of the run, or whole speakers (without speakers: texts) by a hash.

    Raises:
        BadInput: fewer than three speakers or texts to draw from.
        ConfigError: an empty side.
    """
    side = dict.fromkeys((row.id for row in rows), "train")
    drawn = []
    for name, split, part in (
        ("test", options.test_split, options.test_share),
        ("valid", options.valid_split, options.valid_share),
    ):
        if split is None:
            drawn.append((name, part))
        else:
            inside = {row.id for row in load_texts(runs, rows=options.texts, split=split).rows}
            side |= {id: name for id in side if id in inside}
    free = [row for row in rows if side[row.id] == "train"]
    group = {row.id: f"{row.corpus}\0{row.speaker}" if all(r.speaker for r in free) else row.id for row in free}
    groups = sorted(set(group.values()))
    if len(groups) <= len(drawn):
        raise BadInput(
            "too_few_speakers", f"{runs[0]} has {len(groups)} speakers for {len(drawn) + 1} sides; set the splits"
        )
    order = np.argsort(unit_interval(record_keys(0, "models.finetuning", groups)), kind="stable").tolist()
    for name, part in drawn:
        count = max(1, round(part * len(groups)))
        taken, order = order[:count], order[count:]
        chosen = {groups[i] for i in taken}
        side |= {id: name for id, owner in group.items() if owner in chosen}
    out = {name: sorted((row for row in rows if side[row.id] == name), key=lambda row: row.id) for name in SIDES}
    empty = [name for name, part in out.items() if not part]
    if empty:
        raise ConfigError(f"the side {empty[0]} has no labelled text of {runs[0]}; change the shares or the splits")
    return out


def _targets(labels: dict[str, list[str]], options: FinetuneOptions) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Names of the outputs, and side -> (n,) class indices or numbers.

    Raises:
        BadInput: a label that is no finite number, a class without a training text, or a single class.
    """
    if options.task == "number":
        numbers = {
            side: np.array([_number(text, options) for text in part], np.float32) for side, part in labels.items()
        }
        return [options.column], numbers
    names = sorted(set(labels["train"]))
    unseen = sorted({label for part in labels.values() for label in part} - set(names))
    if unseen or len(names) < 2:
        problem = f"the class {unseen[0]!r} has no training text" if unseen else f"the only class is {names[0]!r}"
        raise BadInput("bad_label", f"{options.labels}: {problem}; merge or remove classes, or change the sides")
    return names, {side: np.array([names.index(label) for label in part], np.int64) for side, part in labels.items()}


def _scale(numbers: NDArray[Any]) -> tuple[np.float32, np.float32]:
    """Median and standard deviation of the training numbers: the model learns (number - median) / deviation."""
    deviation = numbers.std()
    return np.float32(np.median(numbers)), np.float32(deviation if deviation > 0 else 1)


def _number(text: str, options: FinetuneOptions) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput("bad_label", f"{options.labels}: {text!r} is no number; correct it, or set --task classes")
    return value


def _scores(
    rows: list[Text],
    names: list[str],
    targets: dict[str, NDArray[Any]],
    logits: dict[str, F64],
    options: FinetuneOptions,
) -> list[Any]:
    """Accuracy, macro F1 and weighted F1 of classes, or Pearson's r and the mean absolute error of numbers."""
    truth = targets["test"].astype(np.float64)
    speakers = {row.id: row.speaker for row in rows} if all(row.speaker for row in rows) else None
    bootstrap = Bootstrap(options.samples, seed=options.bootstrap_seed)
    if options.task == "classes":
        measures = class_measures(len(names))
        predicted = {seed: values.argmax(1).astype(np.float64) for seed, values in logits.items()}
        constant = float(np.bincount(targets["train"]).argmax())
    else:
        measures = {name: SENTIMENT[name] for name in ("pearson", "mae")}
        predicted = {seed: values[:, 0] for seed, values in logits.items()}
        constant = float(np.median(targets["train"]))
    ids = [row.id for row in rows]
    return [
        replace(
            over_seeds(f"finetune.{name}", measure, ids, speakers, truth, predicted, constant, bootstrap),
            how={"labels": ", ".join(names)},
        )
        for name, measure in measures.items()
    ]


def class_measures(count: int) -> dict[str, Measure]:
    """Accuracy, macro F1 and weighted F1 of `count` classes. F1 averages run over the classes of either side."""

    def cells(labels: F64, predictions: F64) -> F64:
        """(n, count^2) the flattened confusion matrix of each text."""
        out = np.zeros((len(labels), count * count))
        out[np.arange(len(labels)), (labels * count + predictions).astype(np.int64)] = 1
        return out

    def f1(sums: F64, *, weighted: bool) -> float:
        matrix = sums.reshape(count, count)
        right, true, claims = np.diagonal(matrix), matrix.sum(1), matrix.sum(0)
        present = [i for i in range(count) if true[i] or claims[i]]
        values = [precision_recall_f1(right[i], claims[i], true[i])["f1"] for i in present]
        weights = true[present] if weighted else np.ones(len(present))
        return share(float(np.dot(values, weights)), float(weights.sum()))

    def accuracy(sums: F64) -> float:
        return share(float(np.trace(sums.reshape(count, count))), float(sums.sum()))

    figures: dict[str, Callable[[F64], float]] = {
        "accuracy": accuracy,
        "macro f1": partial(f1, weighted=False),
        "weighted f1": partial(f1, weighted=True),
    }
    return {name: Measure(cells, figure) for name, figure in figures.items()}
