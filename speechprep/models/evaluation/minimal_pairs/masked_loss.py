"""`speechprep eval mlm`: loss of masked models on texts, each piece masked once, and its difference from a control."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, StaleArtifact
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.minimal_pairs.blimp import load, progress
from speechprep.models.evaluation.minimal_pairs.declaration import MaskedLossOptions
from speechprep.models.evaluation.minimal_pairs.likelihood import Sentence, pseudo_log_likelihoods
from speechprep.models.evaluation.score import Score
from speechprep.models.zoo import EvaluationResult

F64 = NDArray[np.float64]
COLUMNS = ("loss", "nats a piece", "sd over models", "95 % interval", "models", "texts", "pieces")


def evaluate(models: list[str], runs: list[str], options: MaskedLossOptions) -> EvaluationResult:
    """Loss of `models` on the texts of `runs[0]`, of `options.against`, and the difference of the two means."""
    groups = {"models": models, "against": options.against or []}
    losses: dict[str, F64] = {}
    reference: tuple[list[str], F64, str] | None = None
    for name, folders in groups.items():
        parts = []
        for folder in folders:
            ids, pieces, values, tokenizer = _losses(folder, runs, options)
            if reference is None:
                reference = ids, pieces, tokenizer
            if (ids, tokenizer) != (reference[0], reference[2]):
                raise StaleArtifact(
                    f"{folder} has other pieces or another validation split than {models[0]}; compare models with one "
                    "tokenizer and split"
                )
            parts.append(values)
        if parts:
            losses[name] = np.stack(parts)
    assert reference is not None  # noqa: S101 - there is at least one model
    ids, pieces, _ = reference
    scores = [_score(name, ids, pieces, values, options) for name, values in losses.items()]
    if len(losses) == 2:
        scores.append(_difference(ids, pieces, losses["models"], losses["against"], options))
    return EvaluationResult(scores, COLUMNS, [_line(score) for score in scores])


def _losses(folder: str, runs: list[str], options: MaskedLossOptions) -> tuple[list[str], F64, F64, str]:
    """Ids of the texts, their numbers of pieces (n,), the sums of -log p (n,) in nats, and the pieces as one text.

    Raises:
        BadInput: no text.
        ConfigError: `unseen`, and a model without a validation split.
    """
    from speechprep.models.encoder.shapes import check_tokenizer
    from speechprep.models.encoder.texts import encode_texts, load_texts
    from speechprep.models.split import unseen_of
    from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

    model, _, _ = load(folder, "pll")
    tokenizer = WordPiece.load(folder)
    check_tokenizer(model, tokenizer, folder)
    texts = load_texts(runs, rows=options.texts, split=options.split)
    if options.unseen:
        texts = texts.select(
            unseen_of((getattr(model.config, "speechprep", None) or {}).get("held_out") or {})(texts.ids)
        )
    if not texts.rows:
        raise BadInput("no_texts", f"{runs[0]} has no text outside of the training of {folder}; name another run")
    examples = encode_texts(texts, tokenizer, model.config.max_position_embeddings, "cut")
    sentences = []
    for i in range(len(examples)):
        pieces = examples.pieces.text(i)[0].tolist()
        sentences.append(Sentence((tokenizer.cls, *pieces, tokenizer.sep), tuple(range(1, len(pieces) + 1))))
    with progress(sum(len(s.scored) for s in sentences), quiet=options.quiet) as advance:
        bits: F64 = pseudo_log_likelihoods(
            model, sentences, tokenizer.mask, batch_tokens=options.batch_tokens, advance=advance
        )
    order = np.argsort(examples.ids)
    lengths = np.array([len(s.scored) for s in sentences], np.float64)
    ids = [examples.ids[i] for i in order.tolist()]
    return ids, lengths[order], -bits[order] * math.log(2), tokenizer.fingerprint


def _score(name: str, ids: list[str], pieces: F64, values: F64, options: MaskedLossOptions) -> Score:
    """The mean loss of a piece over (m, n) sums of m models."""
    each = values.sum(1) / pieces.sum()
    return _of(name, float(each.mean()), each, ids, np.stack([values.mean(0), pieces], 1), options)


def _difference(ids: list[str], pieces: F64, a: F64, b: F64, options: MaskedLossOptions) -> Score:
    """Mean of `a` minus mean of `b`, paired by text. The sd is of the difference of two single models."""
    one, other = a.sum(1) / pieces.sum(), b.sum(1) / pieces.sum()
    sums = np.stack([a.mean(0) - b.mean(0), pieces], 1)
    score = _of("difference", float(one.mean() - other.mean()), one, ids, sums, options)
    spreads = [float(np.var(part, ddof=1)) for part in (one, other) if len(part) > 1]
    if len(spreads) == 2:
        score.others["sd over models"] = math.sqrt(sum(spreads))
    else:
        score.others.pop("sd over models", None)
    return score


def _of(name: str, value: float, each: F64, ids: list[str], sums: F64, options: MaskedLossOptions) -> Score:
    """A loss with its interval over texts, from (n, 2) sums of losses and of pieces."""
    bootstrap = Bootstrap(options.samples, seed=options.seed)
    return Score(
        metric=f"mlm.{name}",
        score=value,
        interval=bootstrap.interval(ids, sums, lambda s: float(s[0] / s[1])),
        counts={"models": len(each), "texts": len(ids), "pieces": int(sums[:, 1].sum())},
        others={"sd over models": float(each.std(ddof=1))} if len(each) > 1 else {},
        scale="points",
    )


def _line(score: Score) -> tuple[str, ...]:
    span = f"{score.interval.low:.3f} to {score.interval.high:.3f}" if score.interval else ""
    spread = f"{score.others['sd over models']:.3f}" if "sd over models" in score.others else ""
    counts = [f"{score.counts[key]:,}" for key in ("models", "texts", "pieces")]
    return (score.metric.partition(".")[2], f"{score.score:.3f}", spread, span, *counts)
