"""Linear probes: what a layer of the student, or the teacher vector, tells about a label.

A ridge classifier (one output of +1 and -1 for each label, closed form) is fitted on all speakers but one and evaluated
on the one left out. Features are standardised by the training side. Its dual form needs an (n, n) matrix only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.files import Table
from speechprep.models.evaluation.score import Score
from speechprep.models.teachme.declaration import ProbeOptions
from speechprep.models.zoo import EvaluationResult
from speechprep.tokenizers.arrays.keyed_random import record_keys, unit_interval

F64 = NDArray[np.float64]
COLUMNS = ("features", "accuracy", "95 % interval", "majority", "labels", "rows", "folds")
FOLDS = 5


@dataclass(frozen=True)
class Labelled:
    """Rows with a label: ids, (n, d) features, labels and speakers."""

    ids: list[str]
    features: F64
    labels: list[str]
    speakers: list[str]


def evaluate_probe(models: list[str], runs: list[str], options: ProbeOptions) -> EvaluationResult:
    """Accuracy of a linear probe, left-out speaker by left-out speaker, and that of the most frequent label."""
    data, name = _labelled(models[0], runs[0], options)
    folds = _folds(data, options)
    features = data.features
    if options.centre_speakers:
        features = centred(features, data.speakers)
    predicted, majority = [""] * len(data.ids), [""] * len(data.ids)
    for fold in sorted(set(folds.tolist())):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known = [data.labels[i] for i in inside.tolist()]
        found = ridge_labels(features[inside], known, features[outside], options.ridge)
        most = max(sorted(set(known)), key=known.count)
        for i, label in zip(outside.tolist(), found, strict=True):
            predicted[i], majority[i] = label, most
    score = _score(name, data, predicted, majority, len(set(folds.tolist())), options)
    span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
    row = (
        name, f"{score.score:.1%}", span, f"{score.others['majority']:.1%}", str(score.counts["labels"]),
        f"{score.counts['rows']:,}", str(score.counts["folds"]),
    )  # fmt: skip
    return EvaluationResult([score], COLUMNS, [row])


def _score(
    name: str, data: Labelled, predicted: list[str], majority: list[str], folds: int, options: ProbeOptions
) -> Score:
    order = sorted(range(len(data.ids)), key=lambda i: data.ids[i])
    right = np.array([[predicted[i] == data.labels[i], majority[i] == data.labels[i], 1] for i in order], float)
    speakers = {data.ids[i]: data.speakers[i] for i in order} if all(data.speakers) else None
    bootstrap = Bootstrap(options.samples, seed=options.seed, speakers=speakers)
    interval = bootstrap.interval([data.ids[i] for i in order], right, lambda s: float(s[0] / s[2]))
    by = {}
    for label in sorted(set(data.labels)):
        members = [i for i, other in enumerate(data.labels) if other == label]
        by[label] = {
            "recall": float(np.mean([predicted[i] == label for i in members])),
            "support": len(members),
        }
    return Score(
        metric=f"probe.{name}",
        score=float(right[:, 0].mean()),
        interval=interval,
        counts={"rows": len(order), "labels": len(by), "folds": folds},
        others={"majority": float(right[:, 1].mean())},
        by=by,
        how={"ridge": f"{options.ridge:g}", "speakers centred": str(options.centre_speakers).lower()},
    )


def _folds(data: Labelled, options: ProbeOptions) -> NDArray[np.int64]:
    """(n,) fold of each row: its speaker, or one of `FOLDS` by a hash of the id.

    Raises:
        BadInput: fewer than two speakers.
    """
    if options.folds == "rows":
        return (unit_interval(record_keys(0, "teachme.probe", data.ids)) * FOLDS).astype(np.int64)
    names = sorted(set(data.speakers))
    if len(names) < 2 or "" in names:
        raise BadInput("no_speaker", f"speakers {names[:3]}: a fold needs another speaker; set --folds rows")
    return np.array([names.index(speaker) for speaker in data.speakers], np.int64)


def ridge_labels(train: F64, labels: list[str], test: F64, ridge: float) -> list[str]:
    """Labels of (m, d) rows by a ridge classifier of (n, d) rows; among equal outputs the first label by name.

    Args:
        train: (n, d) features, with n labels.
        labels: their labels.
        test: (m, d) features.
        ridge: penalty, relative to the mean squared length of the standardised rows.
    """
    mean, scale = train.mean(0), train.std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    x, y = (train - mean) / scale, (test - mean) / scale
    names = sorted(set(labels))
    target = np.where(np.array(labels)[:, None] == np.array(names), 1.0, -1.0)
    bias = target.mean(0)
    gram = x @ x.T
    penalty = ridge * max(float(np.trace(gram)) / len(x), 1e-12)
    dual = np.linalg.solve(gram + penalty * np.eye(len(x)), target - bias)
    return [names[i] for i in np.argmax(y @ x.T @ dual + bias, axis=1).tolist()]


def centred(features: F64, speakers: list[str]) -> F64:
    """The features minus the mean of their speaker. It uses no label."""
    out = features.copy()
    for speaker in set(speakers):
        members = np.array([other == speaker for other in speakers])
        out[members] -= features[members].mean(0)
    return out


def _labelled(model: str, run: str, options: ProbeOptions) -> tuple[Labelled, str]:
    """Rows of the run with a label, and the name of their features.

    Raises:
        ConfigError: no id of the file is in the run, or fewer than two labels.
    """
    from speechprep.models.encoder.texts import load_texts
    from speechprep.models.teachme.load import load_student
    from speechprep.models.teachme.teacher import load_teacher

    labels = Table(options.labels, options.id_column).texts(options.column)
    texts = load_texts([run], rows=options.texts)
    texts = texts.select(np.array([bool(labels.get(row.id)) for row in texts.rows]))
    if len({labels[row.id] for row in texts.rows}) < 2:
        raise ConfigError(
            f"{options.labels} has {len({labels[row.id] for row in texts.rows})} labels for the rows of {run}; give "
            "labels with the ids of the run"
        )
    student, tokenizer = load_student(model)
    if options.features == "teacher":
        texts, teacher = load_teacher([run], texts, student.settings["vector"], "drop")
        features, name = teacher.take(np.arange(len(texts.rows))).astype(np.float64), "teacher"
    else:
        features, name = student_features(student, tokenizer, [row.text for row in texts.rows], options.layer)
    rows = texts.rows
    speakers = [row.speaker for row in rows]
    return Labelled([row.id for row in rows], features, [labels[row.id] for row in rows], speakers), name


def student_features(student: Any, tokenizer: Any, texts: list[str], layer: int) -> tuple[F64, str]:
    """(n, width) mean of the tokens of each text in a layer of the student, and its name. Layer 0: the embeddings.

    Raises:
        ConfigError: no such layer.
    """
    import torch

    from speechprep.models.encoder.batches import padded
    from speechprep.models.teachme.contrast import token_mean
    from speechprep.models.teachme.model import valid_tokens

    count = student.config.num_hidden_layers
    number = layer if layer >= 0 else count + 1 + layer
    if not 0 <= number <= count:
        raise ConfigError(f"--layer {layer}: the student has layers 0 to {count}; choose one of them")
    limit = student.config.max_position_embeddings - 2
    out = []
    with torch.inference_mode():
        for text in texts:  # one by one: equal texts have equal vectors, bit by bit
            pieces = tokenizer.encode([text]).ids[:limit].astype(np.int64)
            batch = {key: value.to(student.device) for key, value in padded([pieces], tokenizer).items()}
            states = student.lm.bert(**batch, output_hidden_states=True).hidden_states[number]
            tokens, owner = valid_tokens(states, batch["attention_mask"])
            out.append(token_mean(tokens, owner, 1)[0].double().cpu().numpy())
    return np.array(out), f"student layer {number}"
