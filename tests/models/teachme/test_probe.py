"""Linear probes: a plain ridge, speakers left out, and equal texts with equal features."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from helpers.teacher_runs import rows_of  # noqa: E402

from speechprep.errors import ConfigError  # noqa: E402
from speechprep.models.teachme.declaration import ProbeOptions  # noqa: E402
from speechprep.models.teachme.load import load_student  # noqa: E402
from speechprep.models.teachme.probe import centred, evaluate_probe, ridge_labels, student_features  # noqa: E402
from speechprep.models.teachme.train import TeachMeOptions, training_job  # noqa: E402
from speechprep.models.training.run import train  # noqa: E402

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def student(teacher_run, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("student") / "m"
    options = TeachMeOptions.of({"size": "tiny", "context": 32, "rows": 8, "steps": 1, "dropout": 0.0})
    train(training_job([str(teacher_run)], options), options, out, quiet=True)
    return str(out)


def test_the_classifier_is_ridge_regression_in_its_primal_form():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 6)) * [1, 2, 3, 4, 5, 0], rng.normal(size=(9, 6))
    labels = ["abc"[i] for i in rng.integers(0, 3, 30)]
    mean, scale = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1)
    a, b = (x - mean) / scale, (y - mean) / scale
    target = np.array([[1.0 if label == name else -1.0 for name in "abc"] for label in labels])
    penalty = 0.3 * (a**2).sum() / 30
    weights = np.linalg.solve(a.T @ a + penalty * np.eye(6), a.T @ (target - target.mean(0)))
    expected = ["abc"[i] for i in (b @ weights + target.mean(0)).argmax(1)]
    assert ridge_labels(x, labels, y, 0.3) == expected
    assert len(set(expected)) > 1


def test_the_teacher_tells_a_word_and_the_speakers_are_left_out(student, teacher_run, tmp_path):
    rows = rows_of(64)
    lines = [json.dumps({"id": row["id"], "label": str("cat" in row["text"].split())}) for row in rows]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    options = {"labels": str(tmp_path / "labels.jsonl"), "ridge": 0.01}
    teacher = evaluate_probe([student], [str(teacher_run)], ProbeOptions.of({**options, "features": "teacher"})).scores[
        0
    ]
    own = evaluate_probe([student], [str(teacher_run)], ProbeOptions.of(options)).scores[0]
    assert (teacher.counts["folds"], teacher.interval.over, teacher.interval.groups) == (4, "speakers", 4)
    assert teacher.score > teacher.others["majority"] + 0.1
    assert own.metric == "probe.student layer 2"
    lines = [json.dumps({"id": row["id"], "label": row["speaker"]}) for row in rows]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    unseen = evaluate_probe([student], [str(teacher_run)], ProbeOptions.of({**options, "features": "teacher"})).scores[
        0
    ]
    assert unseen.score == 0.0  # the label of a speaker left out is unknown to the probe


def test_centring_removes_the_mean_of_each_speaker():
    features = np.array([[1.0, 2], [3, 4], [10, 0]])
    assert centred(features, ["a", "a", "b"]).tolist() == [[-1, -1], [1, 1], [0, 0]]


def test_equal_texts_have_equal_features_bit_by_bit(student):
    model, tokenizer = load_student(student)
    for layer in range(3):
        features, _ = student_features(model, tokenizer, ["the cat saw", "a dog", "the cat saw"], layer)
        assert np.array_equal(features[0], features[2])
        assert not np.allclose(features[0], features[1])
    with pytest.raises(ConfigError, match="layers 0 to 2"):
        student_features(model, tokenizer, ["a"], 3)


def test_labels_of_other_ids_are_refused(student, teacher_run, tmp_path):
    (tmp_path / "labels.csv").write_text("id,label\nx,a\ny,b\n")
    with pytest.raises(ConfigError, match="has 0 labels for the rows"):
        evaluate_probe([student], [str(teacher_run)], ProbeOptions.of({"labels": str(tmp_path / "labels.csv")}))
