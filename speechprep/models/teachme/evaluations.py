"""Evaluation of a student: two-way match of its texts with the vectors of the audio."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, StaleArtifact
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.score import Score
from speechprep.models.split import unseen_of
from speechprep.models.teachme.declaration import MatchOptions
from speechprep.models.zoo import EvaluationResult

F64 = NDArray[np.float64]
BATCH = 32
COLUMNS = ("candidates", "won", "95 % interval", "clips", "candidates of a clip")


def evaluate_match(models: list[str], runs: list[str], options: MatchOptions) -> EvaluationResult:
    """Match of the texts of `runs[0]` with candidates of the same and of other speakers."""
    texts, agreement, chosen = agreements(models[0], runs, options)
    scores = [
        match(name, texts, agreement, chosen, options) for name in ("same speaker, similar duration", "other speakers")
    ]
    rows = []
    for score in scores:
        span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
        clips, mean = f"{score.counts['clips']:,}", f"{score.others['candidates']:.1f}"
        won = f"{score.score:.1%}" if score.counts["clips"] else "none"
        rows.append((score.metric.partition(".")[2], won, span, clips, mean))
    return EvaluationResult(scores, COLUMNS, rows)


def grid_figures(model: str, runs: list[str], *, unseen: bool) -> dict[str, float]:
    """Fractions won, by candidates, for `speechprep grid`."""
    result = evaluate_match([model], runs, MatchOptions.of({"unseen": unseen}))
    return {score.metric.partition(".")[2]: score.score for score in result.scores if score.counts["clips"]}


def agreements(model: str, runs: list[str], options: MatchOptions) -> tuple[list[Any], F64, NDArray[np.bool_]]:
    """Evaluated texts, their (n, n) agreement with the audio of each, and (n,) True for each.

    Raises:
        StaleArtifact: vectors of another extractor than in training; the message names both.
        BadInput: fewer than two texts.
    """
    import torch

    from speechprep.models.encoder.batches import padded
    from speechprep.models.encoder.texts import encode_texts, load_texts
    from speechprep.models.teachme.load import load_student
    from speechprep.models.teachme.teacher import describe, duration_vectors, load_teacher

    student, tokenizer = load_student(model)
    settings = student.settings
    texts, teacher = load_teacher(
        runs, load_texts(runs, rows=options.texts, split=options.split), settings["vector"], "drop"
    )
    if teacher.extractor != settings["extractor"]:
        raise StaleArtifact(
            f"{model} was trained with vectors of {describe({'extractor': settings['extractor']})}, the vectors of "
            f"{runs[0]} are of {describe({'extractor': teacher.extractor})}; make them with the first extractor"
        )
    kept = np.ones(len(texts.rows), np.bool_)
    if options.unseen:
        kept = unseen_of(student.config.speechprep.get("held_out") or {})(texts.ids)
    numbers = np.flatnonzero(kept)
    if len(numbers) < 2:
        raise BadInput("too_few_texts", f"{runs[0]} has {len(numbers)} texts to match; at least two are needed")
    rows = [texts.rows[i] for i in numbers.tolist()]
    vectors = teacher.take(numbers)
    if settings["audio"] == "duration":
        vectors = duration_vectors(np.array([row.seconds for row in rows]), teacher.dim)
    audio = torch.from_numpy(vectors).to(student.device)
    examples = encode_texts(texts.select(kept), tokenizer, student.config.max_position_embeddings, "cut")
    parts = []
    for start in range(0, len(examples), BATCH):
        pieces = [examples.pieces.text(i)[0].astype(np.int64) for i in range(start, min(start + BATCH, len(examples)))]
        batch = {name: value.to(student.device) for name, value in padded(pieces, tokenizer).items()}
        parts.append(student.agreement(**batch, vectors=audio).double().cpu().numpy())
    agreement = np.full((len(rows), len(rows)), np.nan)
    agreement[examples.rows] = np.concatenate(parts)
    return rows, agreement, np.isfinite(agreement).all(1)


def match(name: str, rows: list[Any], agreement: F64, usable: NDArray[np.bool_], options: MatchOptions) -> Score:
    """Fraction of the comparisons won by the own audio, the mean over clips with a candidate; a tie is half a win.

    A candidate has another text and comes from another utterance.

    Args:
        name: "same speaker, similar duration" or "other speakers".
        rows: the n texts.
        agreement: (n, n).
        usable: (n,) False for a text without a piece of the vocabulary.
        options: tolerance of the durations, and the bootstrap.
    """
    seconds = np.array([max(row.seconds, 1e-3) for row in rows])
    speaker = np.array([f"{row.corpus}\0{row.speaker}" for row in rows])
    utterance = np.array([row.utterance or row.id for row in rows])
    text = np.array([" ".join(row.text.casefold().split()) for row in rows])
    ids, sums, candidates = [], [], 0
    for i, row in enumerate(rows):
        pool = (utterance != utterance[i]) & (text != text[i])
        if name.startswith("same"):
            ratio = np.maximum(seconds, seconds[i]) / np.minimum(seconds, seconds[i]) - 1
            pool &= (speaker == speaker[i]) & (ratio <= options.tolerance + 1e-9)
        else:
            pool &= speaker != speaker[i]
        if not usable[i] or not pool.any():
            continue
        others = agreement[i, pool]
        won = float(np.mean((agreement[i, i] > others) + 0.5 * (agreement[i, i] == others)))
        ids.append(row.id)
        sums.append((won, 1.0))
        candidates += int(pool.sum())
    order = np.argsort(ids)
    values = np.array(sums).reshape(-1, 2)[order]
    interval = None
    if len(ids) > 1:
        bootstrap = Bootstrap(options.samples, seed=options.seed)
        interval = bootstrap.interval([ids[i] for i in order], values, lambda s: float(s[0] / s[1]))
    return Score(
        metric=f"audio_match.{name}",
        score=float(values[:, 0].mean()) if len(ids) else 0.5,
        interval=None if interval is None else replace(interval, over="clips"),
        counts={"clips": len(ids), "without_candidates": len(rows) - len(ids)},
        others={"chance": 0.5, "candidates": candidates / max(len(ids), 1)},
        how={"tolerance of durations": f"{options.tolerance:g}"},
    )
