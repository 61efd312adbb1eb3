"""`speechprep eval mosei`: fine-tuning on CMU-MOSEI and its scores."""

from __future__ import annotations

import numpy as np

from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.context_pairs import folded
from speechprep.models.evaluation.finetuning.declaration import MoseiOptions
from speechprep.models.evaluation.finetuning.fit import SIDES, Task, fine_tune
from speechprep.models.evaluation.finetuning.table import COLUMNS, line
from speechprep.models.evaluation.mosei.files import EMOTIONS, read_mosei
from speechprep.models.evaluation.mosei.scores import mosei_scores
from speechprep.models.zoo import EvaluationResult


def evaluate(models: list[str], runs: list[str], options: MoseiOptions) -> EvaluationResult:
    """Fine-tune a model on the folder `runs[0]`, and score its test fold."""
    segments, counts = read_mosei(runs[0], options.source)
    sides = {side: [segment for segment in segments if segment.fold == side] for side in SIDES}
    texts = {side: [folded(segment.text, options.fold) for segment in rows] for side, rows in sides.items()}
    labels = {side: np.array([segment.labels for segment in rows]) for side, rows in sides.items()}
    notes: list[str] = []
    sentiment = emotions = None
    if options.task in ("both", "sentiment"):
        numbers = {side: values[:, 0].astype(np.float32) for side, values in labels.items()}
        task = Task("sentiment", "number", ["sentiment"], texts, numbers)
        predicted = fine_tune(models[0], task, options, notes.append)
        sentiment = {seed: values[:, 0] for seed, values in predicted.items()}
    if options.task in ("both", "emotions"):
        flags = {side: (values[:, 1:] > 0).astype(np.float32) for side, values in labels.items()}
        emotions = fine_tune(models[0], Task("emotions", "flags", list(EMOTIONS), texts, flags), options, notes.append)
    scores = mosei_scores(
        [segment.id for segment in sides["test"]],
        {segment.id: segment.video for segment in sides["test"]},
        labels["test"],
        labels["train"],
        sentiment,
        emotions,
        Bootstrap(options.samples, seed=options.bootstrap_seed),
    )
    listing = ", ".join(f"{side} {len(rows):,}" for side, rows in sides.items())
    notes.append(
        f"segments: {listing}; left out {counts['no_text']:,} without text, {counts['no_fold']:,} outside of the folds"
    )
    return EvaluationResult(scores, COLUMNS, [line(score) for score in scores], notes=notes)
