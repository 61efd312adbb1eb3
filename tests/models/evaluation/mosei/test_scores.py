"""Scores of CMU-MOSEI against a plain reading of their definitions, NumPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.finetuning.of_run import class_measures
from speechprep.models.evaluation.mosei.scores import (
    EMOTION,
    SENTIMENT,
    mosei_scores,
    over_seeds,
    rounded_class,
    sdk_class,
    sentiment_baselines,
)


def made(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.clip(np.round(rng.normal(0, 1.3, n) * 3) / 3, -3, 3)
    return labels, labels + rng.normal(0, 1, n)


@pytest.mark.parametrize(
    ("value", "sdk", "rounded"),
    [
        (-3.7, -3, -3), (-2.5, -3, -2), (-2.0, -2, -2), (-1.5, -2, -2), (-1.0, -1, -1), (-0.5, -1, 0), (0.0, 0, 0),
        (0.3, 1, 0), (0.5, 1, 0), (1.0, 1, 1), (1.5, 2, 2), (2.0, 2, 2), (2.5, 3, 2), (9.0, 3, 3),
    ],
)  # fmt: skip
def test_seven_classes_by_both_rules(value, sdk, rounded):
    assert sdk_class(np.array([value]))[0] == sdk
    assert rounded_class(np.array([value]))[0] == rounded


def test_sentiment_figures_equal_their_definitions():
    y, p = made()
    figures = {name: measure.of(y, p) for name, measure in SENTIMENT.items()}
    kept = y != 0
    assert figures["acc2 non-negative"] == pytest.approx(np.mean((y < 0) == (p < 0)))
    assert figures["acc2 positive"] == pytest.approx(np.mean((y[kept] > 0) == (p[kept] > 0)))
    assert figures["acc7 rounded"] == pytest.approx(np.mean(np.round(np.clip(y, -3, 3)) == np.round(np.clip(p, -3, 3))))
    assert figures["pearson"] == pytest.approx(np.corrcoef(y, p)[0, 1])
    assert figures["mae"] == pytest.approx(np.abs(y - p).mean())
    assert kept.sum() < len(y)
    assert figures["acc2 positive"] != figures["acc2 non-negative"]


def test_f1_equals_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    y, p = made(seed=1)
    kept = y != 0
    assert SENTIMENT["f1 non-negative"].of(y, p) == pytest.approx(metrics.f1_score(y >= 0, p >= 0, average="weighted"))
    assert SENTIMENT["f1 positive"].of(y, p) == pytest.approx(
        metrics.f1_score(y[kept] > 0, p[kept] > 0, average="weighted")
    )
    assert EMOTION["weighted f1"].of(y, p) == pytest.approx(metrics.f1_score(y > 0, p > 0, average="weighted"))
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    measures = class_measures(4)
    assert measures["accuracy"].of(a * 1.0, b * 1.0) == pytest.approx(np.mean(a == b))
    assert measures["macro f1"].of(a * 1.0, b * 1.0) == pytest.approx(metrics.f1_score(a, b, average="macro"))
    assert measures["weighted f1"].of(a * 1.0, b * 1.0) == pytest.approx(metrics.f1_score(a, b, average="weighted"))


def test_a_constant_prediction_has_no_correlation():
    y, _ = made()
    assert SENTIMENT["pearson"].of(y, np.full(len(y), 0.3)) == 0.0


def test_no_other_constant_is_better_than_the_baseline_on_its_own_data():
    y, _ = made(seed=2)
    constants = sentiment_baselines(y)
    grid = np.arange(-3, 3.01, 0.05)
    for name in ("acc2 non-negative", "acc2 positive", "acc7 rounded", "acc7 sdk"):
        best = max(SENTIMENT[name].of(y, np.full(len(y), value)) for value in [*grid, 0.0])
        assert SENTIMENT[name].of(y, np.full(len(y), constants[name])) == pytest.approx(best), name
    best = min(SENTIMENT["mae"].of(y, np.full(len(y), value)) for value in np.unique(y))
    assert SENTIMENT["mae"].of(y, np.full(len(y), constants["mae"])) == pytest.approx(best)


def test_mean_and_sd_are_over_seeds_and_the_interval_is_over_videos():
    y, p = made(60)
    ids = [f"v{i // 10}[{i % 10}]" for i in range(60)]
    videos = {id: id.partition("[")[0] for id in ids}
    by_seed = {"0": p, "1": y}
    score = over_seeds(
        "mosei.sentiment.mae", SENTIMENT["mae"], ids, videos, y, by_seed, 0.0, Bootstrap(200, over="videos")
    )
    first = np.abs(y - p).mean()
    assert score.by == {"seed 0": {"score": pytest.approx(first)}, "seed 1": {"score": 0.0}}
    assert score.score == pytest.approx(first / 2)
    assert score.others == {"majority": pytest.approx(np.abs(y).mean()), "sd over seeds": pytest.approx(first / 2**0.5)}
    assert (score.interval.over, score.interval.groups, score.scale) == ("videos", 6, "points")
    assert score.interval.low < score.score < score.interval.high


def test_each_emotion_has_the_row_of_its_own_majority():
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.zeros((50, 1)), (rng.random((50, 6)) < [0.9, 0.1, 0.5, 0.2, 0.3, 0.4]) * 1.0], 1)
    ids = [f"a{i:02d}" for i in range(50)]
    logits = {"0": np.where(labels[:, 1:] > 0, 1.0, -1.0)}
    scores = mosei_scores(ids, {id: id for id in ids}, labels, labels, None, logits, Bootstrap(10))
    assert [score.metric for score in scores][:2] == ["mosei.happy.accuracy", "mosei.happy.weighted f1"]
    for column, score in enumerate(scores[::2], 1):
        present = labels[:, column].mean()
        assert (score.score, score.others["majority"]) == (1.0, pytest.approx(max(present, 1 - present)))
