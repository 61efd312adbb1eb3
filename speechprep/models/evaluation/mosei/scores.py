"""Scores of CMU-MOSEI: sentiment as a number and in classes, and six emotions as present or absent.

    Acc-2 non-negative      sign of the prediction, < 0 against >= 0, all segments (papers before 2019)
    Acc-2 positive          < 0 against > 0, segments with the label 0 left out (papers from 2019 on)
    Acc-7 rounded           both sides clipped to [-3, 3] and rounded, half to even (Tsai et al. 2019)
    Acc-7 sdk               both sides by the rule of the SDK: away from zero up to 2, and 0 for exactly 0
    emotion                 present: label > 0; predicted: logit > 0. Accuracy and weighted F1

The two rules of Acc-7 disagree for many values, and the rule of the SDK gives class 0 to no continuous prediction.
Pearson is 0 for a constant prediction. All figures are functions of sums over segments, so that the bootstrap draws
whole videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from speechprep.models.evaluation.bootstrap import Bootstrap, precision_recall_f1, share
from speechprep.models.evaluation.mosei.files import EMOTIONS
from speechprep.models.evaluation.score import Score

F64 = NDArray[np.float64]
Figure = Callable[[F64], float]


@dataclass(frozen=True)
class Measure:
    """A figure as a function of sums: `terms` of (labels, predictions) -> (n, k), and `figure` of (k,) sums."""

    terms: Callable[[F64, F64], F64]
    figure: Figure

    def of(self, labels: F64, predictions: F64) -> float:
        """The figure of all segments."""
        return self.figure(self.terms(labels, predictions).sum(0))


def sdk_class(values: F64) -> F64:
    """Seven classes by the rule of the SDK: -3 below -2, -2 below -1, -1 below 0, 0, then 1 to 1, 2 to 2, 3."""
    negative = np.where(values < -2, -3.0, np.where(values < -1, -2.0, -1.0))
    positive = np.where(values > 2, 3.0, np.where(values > 1, 2.0, 1.0))
    return np.where(values == 0, 0.0, np.where(values < 0, negative, positive))


def rounded_class(values: F64) -> F64:
    """Seven classes by clipping and rounding, half to even."""
    return np.asarray(np.round(np.clip(values, -3, 3)), np.float64) + 0.0


def _accuracy(classes: Callable[[F64], F64], counted: Callable[[F64], NDArray[np.bool_]]) -> Measure:
    """Accuracy of classes over the segments that count."""
    return Measure(
        lambda y, p: np.stack([(classes(y) == classes(p)) & counted(y), counted(y)], 1).astype(np.float64),
        lambda s: share(s[0], s[1]),
    )


def _pairs(labels: F64, predictions: F64) -> F64:
    y, p = labels, predictions
    return np.stack([np.ones(len(y)), y, p, y * y, p * p, y * p], 1)


def _pearson(sums: F64) -> float:
    n, y, p, yy, pp, yp = sums.tolist()
    spread = max(n * yy - y * y, 0.0) * max(n * pp - p * p, 0.0)
    return (n * yp - y * p) / spread**0.5 if spread > 1e-9 * n**4 else 0.0


def confusion(labels: F64, predictions: F64) -> F64:
    """(n, 4) true negatives, false positives, false negatives and true positives of two boolean columns."""
    y, p = labels > 0, predictions > 0
    return np.stack([~y & ~p, ~y & p, y & ~p, y & p], 1).astype(np.float64)


def _weighted_f1(sums: F64) -> float:
    tn, fp, fn, tp = sums.tolist()
    absent = precision_recall_f1(tn, tn + fn, tn + fp)["f1"]
    present = precision_recall_f1(tp, tp + fp, tp + fn)["f1"]
    return share(absent * (tn + fp) + present * (fn + tp), tn + fp + fn + tp)


def _everything(values: F64) -> NDArray[np.bool_]:
    return np.ones(len(values), np.bool_)


SENTIMENT = {
    "acc2 non-negative": _accuracy(lambda v: (v >= 0).astype(float), _everything),
    "acc2 positive": _accuracy(lambda v: (v > 0).astype(float), lambda y: y != 0),
    "f1 non-negative": Measure(
        lambda y, p: confusion((y >= 0).astype(np.float64), (p >= 0).astype(np.float64)), _weighted_f1
    ),
    "f1 positive": Measure(lambda y, p: confusion(y, p) * (y != 0)[:, None], _weighted_f1),
    "acc7 rounded": _accuracy(rounded_class, _everything),
    "acc7 sdk": _accuracy(sdk_class, _everything),
    "pearson": Measure(_pairs, _pearson),
    "mae": Measure(lambda y, p: np.stack([np.abs(y - p), np.ones(len(y))], 1), lambda s: share(s[0], s[1])),
}
POINTS = ("pearson", "mae")  # on a scale of their own, not fractions
EMOTION = {
    "accuracy": Measure(confusion, lambda s: share(s[0] + s[3], s.sum())),
    "weighted f1": Measure(confusion, _weighted_f1),
}


def sentiment_baselines(training: F64) -> dict[str, float]:
    """Constant predictions from the training labels: the one that is best for each figure of `SENTIMENT`."""
    median = float(np.median(training))

    def most(values: F64) -> float:
        numbers, counts = np.unique(values, return_counts=True)
        return float(numbers[np.argmax(counts)])

    sign = most(np.where(training >= 0, 1.0, -1.0))
    strict = most(np.sign(training[training != 0])) if (training != 0).any() else 1.0
    return {
        "acc2 non-negative": sign, "f1 non-negative": sign, "acc2 positive": strict, "f1 positive": strict,
        "acc7 rounded": most(rounded_class(training)), "acc7 sdk": most(sdk_class(training)),
        "pearson": median, "mae": median,
    }  # fmt: skip


def over_seeds(
    name: str,
    measure: Measure,
    ids: Sequence[str],
    groups: dict[str, str] | None,
    labels: F64,
    by_seed: dict[str, F64],
    constant: float,
    bootstrap: Bootstrap,
) -> Score:
    """The mean of a figure over seeds, its interval over groups, and the figure of a constant prediction.

    Args:
        name: metric.
        measure: the figure.
        ids: (n,) ids, sorted.
        groups: id -> video or speaker, the unit of the bootstrap; None: each row.
        labels: (n,) labels.
        by_seed: seed -> (n,) predictions.
        constant: the constant prediction of the majority row.
        bootstrap: samples and seed of the interval.
    """
    parts = [measure.terms(labels, predictions) for predictions in by_seed.values()]
    width = parts[0].shape[1]
    values = {seed: measure.figure(part.sum(0)) for seed, part in zip(by_seed, parts, strict=True)}
    interval = replace(bootstrap, speakers=groups).interval(
        ids,
        np.concatenate(parts, 1),
        lambda s: float(np.mean([measure.figure(s[i : i + width]) for i in range(0, len(s), width)])),
    )
    figures = list(values.values())
    others = {"majority": measure.of(labels, np.full(len(labels), constant))}
    if len(figures) > 1:
        others["sd over seeds"] = float(np.std(figures, ddof=1))
    return Score(
        metric=name,
        score=float(np.mean(figures)),
        interval=interval,
        counts={"rows": len(ids), "seeds": len(figures)},
        others=others,
        by={f"seed {seed}": {"score": value} for seed, value in values.items()},
        scale="points" if name.rpartition(".")[2] in POINTS else "share",
    )


def mosei_scores(
    ids: Sequence[str],
    videos: dict[str, str],
    labels: F64,
    training: F64,
    sentiment: dict[str, F64] | None,
    emotions: dict[str, F64] | None,
    bootstrap: Bootstrap,
) -> list[Score]:
    """All scores of CMU-MOSEI.

    Args:
        ids: (n,) sorted ids of the test segments.
        videos: id -> video.
        labels: (n, 7) labels of the test segments.
        training: (m, 7) labels of the training segments, for the majority rows.
        sentiment: seed -> (n,) predictions; None: not predicted.
        emotions: seed -> (n, 6) logits; None: not predicted.
        bootstrap: samples and seed of the intervals over videos.
    """
    shared = replace(bootstrap, over="videos")
    scores = []
    if sentiment is not None:
        constants = sentiment_baselines(training[:, 0])
        for name, measure in SENTIMENT.items():
            scores.append(
                over_seeds(
                    f"mosei.sentiment.{name}", measure, ids, videos, labels[:, 0], sentiment, constants[name], shared
                )
            )
    for column, emotion in enumerate(EMOTIONS if emotions is not None else (), 1):
        present = 1.0 if (training[:, column] > 0).mean() > 0.5 else 0.0
        logits = {seed: values[:, column - 1] for seed, values in (emotions or {}).items()}
        for name, measure in EMOTION.items():
            scores.append(
                over_seeds(f"mosei.{emotion}.{name}", measure, ids, videos, labels[:, column], logits, present, shared)
            )
    return scores
