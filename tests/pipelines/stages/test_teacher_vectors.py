"""Positive control of teacher vectors: a linear probe finds the emotion of speakers it was not fitted on.

RAVDESS, 40 clips of 5 actors, 8 emotions, 2 sentences. The weights are in SPEECHPREP_WHISPER; see `make whisper`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import speechprep
from speechprep.pipelines.stages import ingest, pool, vectors

pytestmark = [pytest.mark.whisper, pytest.mark.filterwarnings("ignore")]
RIDGE = 0.01  # per dimension; 0.1 gives the same accuracy
SHUFFLES = 20


def standardised(features: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """(clips, dim) with mean 0 and deviation 1 for each speaker."""
    result = np.empty_like(features, np.float64)
    for speaker in np.unique(speakers):
        own = features[speakers == speaker].astype(np.float64)
        result[speakers == speaker] = (own - own.mean(axis=0)) / np.maximum(own.std(axis=0), 1e-9)
    return result


def accuracy(features: np.ndarray, labels: np.ndarray, speakers: np.ndarray) -> float:
    """Accuracy of ridge regression on one-hot labels, fitted on all speakers but the judged one."""
    names, classes = np.unique(labels, return_inverse=True)
    inputs, targets = standardised(features, speakers), np.eye(len(names))[classes] - 1 / len(names)
    products = inputs @ inputs.T
    hits = 0
    for speaker in np.unique(speakers):
        train, test = speakers != speaker, speakers == speaker
        penalty = RIDGE * inputs.shape[1] * np.eye(train.sum())
        weights = np.linalg.solve(products[np.ix_(train, train)] + penalty, targets[train])
        hits += int(((products[np.ix_(test, train)] @ weights).argmax(axis=1) == classes[test]).sum())
    return hits / len(labels)


def test_whisper_base_hears_the_emotion_and_the_duration_alone_does_not(
    shared_data: Path, run_stage: Callable, tmp_path: Path
) -> None:
    weights = os.environ.get("SPEECHPREP_WHISPER")
    if not weights:
        pytest.skip("no Whisper weights: set SPEECHPREP_WHISPER to the folder of scripts/fetch_whisper.py")
    pytest.importorskip("torch")
    corpus = shared_data / "ravdess-emotion"
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    utterances = run_stage(ingest.STAGE, {"language": "en"}, sources=[corpus])
    options = {"model": str(Path(weights) / "base.pt"), "layer": 6, "truncate": True, "device": "cpu"}
    pooled = run_stage(pool.STAGE, {"backend": "whisper", "options": options}, {"utterances": utterances})
    run_stage(vectors.STAGE, {}, {"pooled": pooled})

    teacher = speechprep.vectors(tmp_path)
    means = np.asarray(teacher.mean[teacher.rows(row["id"] for row in rows)])
    seconds = np.array([[row["duration_s"]] for row in rows])
    emotions, speakers = (np.array([row[name] for row in rows]) for name in ("emotion", "speaker"))
    majority = np.unique(emotions, return_counts=True)[1].max() / len(rows)
    rng = np.random.default_rng(0)
    shuffled = [accuracy(means, rng.permutation(emotions), speakers) for _ in range(SHUFFLES)]
    found, of_duration = accuracy(means, emotions, speakers), accuracy(seconds, emotions, speakers)
    assert found >= majority + 0.2
    assert found > max(shuffled)
    assert found >= of_duration + 0.1
