"""Evaluations of a trained SUTLM: CRA, PELM and the SLUE transfer matrix."""

from __future__ import annotations

from typing import Any

from speechprep.errors import BadInput
from speechprep.models.evaluation.context_pairs import Pair, load_pairs
from speechprep.models.evaluation.cra import DIRECTIONS, cra
from speechprep.models.evaluation.pelm import ExternalLM, pelm
from speechprep.models.generation import Decoding
from speechprep.models.split import unseen_of
from speechprep.models.sutlm.declaration import CraOptions, PairOptions, PelmOptions, TransferOptions
from speechprep.models.sutlm.load import load_model
from speechprep.models.sutlm.transfer import transfer
from speechprep.models.zoo import EvaluationResult


def evaluate_cra(models: list[str], runs: list[str], options: CraOptions) -> EvaluationResult:
    """Context retrieval accuracy, by direction and pool of candidates."""
    model, _, pairs = _pairs(models[0], runs, options)
    scores = cra(
        model,
        pairs,
        candidates=options.candidates,
        directions=options.directions or DIRECTIONS,
        join=options.join,
        seed=options.seed or 0,
    )
    rows = []
    for score in scores:
        _, direction, pool = score.metric.split(".")
        span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
        chance, candidates = f"{score.others['chance']:.1%}", f"{score.others['candidates']:.1f}"
        count = f"{score.counts['pairs']:,}"
        rows.append((direction, f"{pool} speaker", f"{score.score:.1%}", span, chance, candidates, count))
    columns = ("direction", "candidates from", "accuracy", "95 % interval", "chance", "candidates", "pairs")
    return EvaluationResult(scores, columns, rows)


def evaluate_pelm(models: list[str], runs: list[str], options: PelmOptions) -> EvaluationResult:
    """Perplexity of an external LM on generated continuations."""
    decoding = Decoding(
        max_new_tokens=options.max_new_tokens,
        sample=True,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed or 0,
    )
    model, vocab, pairs = _pairs(models[0], runs, options)
    scores = pelm(
        model,
        vocab,
        pairs,
        ExternalLM.load(options.lm),
        directions=options.directions or DIRECTIONS,
        how=decoding,
        samples=options.samples,
        join=options.join,
    )
    rows = [
        (
            score.metric.removeprefix("pelm."),
            f"{score.score:,.1f}",
            f"{score.others['copied']:.1%}",
            f"{score.others['repeated']:.1%}",
            f"{score.others['length']:.2f}",
            f"{score.counts['tokens']:,}",
            f"{score.counts['empty']:,}",
        )
        for score in scores
    ]
    return EvaluationResult(scores, ("continuation", "PELM", "copied", "repeated", "length", "tokens", "empty"), rows)


def evaluate_transfer(models: list[str], runs: list[str], options: TransferOptions) -> EvaluationResult:
    """The transfer matrix of SLUE."""
    cells = transfer(models, runs[0], options.labels, column=options.column)
    rows = []
    for trained, modality, score in cells:
        span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
        rows.append((trained, modality, score.metric, f"{score.score:.1%}", span))
    json = [{"trained_on": a, "asked_in": b, **score.as_dict()} for a, b, score in cells]
    columns = ("trained on", "evaluated on", "score", "", "95 % interval")
    return EvaluationResult([score for _, _, score in cells], columns, rows, json=json)


def grid_figures(model: str, runs: list[str], *, unseen: bool) -> dict[str, float]:
    """CRA in all directions, with candidates from other speakers."""
    loaded, _, pairs = _pairs(model, runs, PairOptions.of({"unseen": unseen}))
    return {score.metric: score.score for score in cra(loaded, pairs, pools=("other",))}


def _pairs(folder: str, runs: list[str], options: PairOptions) -> tuple[Any, Any, list[Pair]]:
    """The model, its vocabulary, and the pairs of the runs.

    Raises:
        BadInput: every utterance was used in training (`no_pairs`).
    """
    model, vocab = load_model(folder)
    book = model.config.codebook
    pairs = [
        pair
        for run in runs
        for pair in load_pairs(run, vocab, min_words=options.min_words, split=options.split, codebook=book)
    ]
    if options.unseen:
        keep = unseen_of(model.config)([pair.id for pair in pairs])
        pairs = [pair for pair, kept in zip(pairs, keep, strict=True) if kept]
        if not pairs:
            listed = ", ".join(runs)
            raise BadInput(
                "no_pairs", f"no utterance of {listed} was excluded from training; train with a validation split"
            )

    return model, vocab, pairs[: options.limit]
