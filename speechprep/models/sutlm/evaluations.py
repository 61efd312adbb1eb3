"""Evaluations of a trained SUTLM: CRA, PELM and the SLUE transfer matrix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.models.evaluation.context_pairs import DIRECTIONS, Pair, load_pairs
from speechprep.models.evaluation.pelm import ExternalLM, Transcriber, pelm, sutlm_transcriber
from speechprep.models.evaluation.retrieval.candidates import POOLS
from speechprep.models.evaluation.retrieval.cra import TASKS, Retrieval, cra
from speechprep.models.evaluation.score import Score
from speechprep.models.generation import Decoding
from speechprep.models.split import unseen_of
from speechprep.models.sutlm.declaration import CraOptions, PairOptions, PelmOptions, TransferOptions
from speechprep.models.sutlm.load import load_model
from speechprep.models.sutlm.transfer import MODALITIES, transfer
from speechprep.models.training.run import PLAN
from speechprep.models.zoo import EvaluationResult, load


def evaluate_cra(models: list[str], runs: list[str], options: CraOptions) -> EvaluationResult:
    """Context retrieval accuracy, by task, direction, pool of candidates and measure."""
    loaded, _, pairs = _pairs(models[0], runs, options)
    how = Retrieval(
        candidates=options.candidates,
        directions=options.directions or DIRECTIONS,
        pools=options.pools or POOLS,
        tasks=options.tasks or TASKS,
        join=options.join,
        seed=options.seed or 0,
        tolerance=options.length_tolerance,
        same_corpus=not options.any_corpus,
        resample=options.resample,
        samples=options.samples,
        skip_long=options.skip_long,
        threads=options.threads,
        spread=options.spread_threads or (),
    )
    others = [_same_vocabulary(folder, loaded, models[0]) for folder in models[1:]]
    scores = cra([loaded, *others], pairs, how, names=models)
    rows, notes = [_cra_row(score) for score in scores], _cra_notes(scores, models)
    return EvaluationResult(scores, _CRA_COLUMNS, rows, notes=notes)


_ORACLES = ("oracle corpus", "oracle speaker", "oracle lengths", "random weights")
_CRA_COLUMNS = ("task", "speaker", "score", "accuracy", "95 %", "chance", "corpus", "speaker", "lengths", "random", "n")


def _cra_row(score: Score) -> tuple[str, ...]:
    task, direction, pool, measure = score.metric.split(".")
    span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else "none"
    accuracy = f"{score.score:.1%}"
    if "lowest over threads" in score.others:
        accuracy += f" ({score.others['lowest over threads']:.1%} to {score.others['highest over threads']:.1%})"
    figures = [f"{score.others[name]:.1%}" for name in ("chance", *_ORACLES)]
    return (f"{task} {direction}", pool, measure, accuracy, span, *figures, f"{score.counts['pairs']:,}")


def _cra_notes(scores: list[Score], models: list[str]) -> list[str]:
    """Settings, seeds, accuracy of each model, and warnings."""
    how = scores[0].how
    seeds = ", ".join(training_seed(model) for model in models)
    notes = [f"{how['interval']}; seed {how['seed']}; training seeds {seeds}; CPU threads {how['threads']}"]
    if "numbers of threads" in how:
        notes[0] += f"; in brackets: range over {how['numbers of threads']} threads"
    if len(models) > 1:
        notes += [
            f"{score.metric}: " + ", ".join(f"{name} {figures['accuracy']:.1%}" for name, figures in score.by.items())
            for score in scores
        ]
    warnings: dict[str, list[str]] = {}
    for score in scores:
        if "warning" in score.how:
            task, direction, pool, _ = score.metric.split(".")
            names = warnings.setdefault(score.how["warning"], [])
            names += [name for name in (f"{task} {direction} {pool}",) if name not in names]
    return notes + [f"warning: {', '.join(names)} can be reached {text}" for text, names in warnings.items()]


def _same_vocabulary(folder: str, first: Any, first_folder: str) -> Any:
    """A further model for the mean.

    Raises:
        ConfigError: another vocabulary or codebook than the first model.
    """
    model, _ = load_model(folder)
    for name in ("vocabulary", "codebook", "held_out"):
        if getattr(model.config, name) != getattr(first.config, name):
            raise ConfigError(
                f"{folder} has another {name} than {first_folder}; compare models of one vocabulary, codebook and "
                "validation split"
            )
    return model


def training_seed(folder: str) -> str:
    """Seed of a trained model, from its record; "unknown" without one."""
    path = Path(folder) / PLAN
    options = json.loads(path.read_text(encoding="utf-8")).get("options", {}) if path.is_file() else {}
    return str(options.get("seed", "unknown"))


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
        transcribe=None if options.transcriber is None else transcriber(options.transcriber, vocab, model.config),
    )
    rows = [
        (
            score.metric.removeprefix("pelm."),
            f"{score.score:,.1f}",
            f"{score.interval.low:,.1f} to {score.interval.high:,.1f}" if score.interval else "none",
            f"{score.others['copied']:.1%}",
            f"{score.others['repeated']:.1%}",
            f"{score.others['length']:.2f}",
            f"{score.counts['tokens']:,}",
            f"{score.counts['empty']:,}",
            f"{score.counts['continuations']:,}",
        )
        for score in scores
    ]
    notes = [
        f"95 % intervals by bootstrap over {len(pairs):,} utterances; seed {options.seed or 0}; training seed "
        f"{training_seed(models[0])}"
    ]
    errors = next((score.others for score in scores if "transcriber_wer" in score.others), None)
    if errors is not None:
        who = options.transcriber or f"{models[0]} itself"
        notes.append(f"transcriber {who}: word error rate {errors['transcriber_wer']:.1%} on true continuations")
    columns = ("continuation", "PELM", "95 %", "copied", "repeated", "length", "tokens", "empty", "n")
    return EvaluationResult(scores, columns, rows, notes=notes)


def transcriber(folder: str, vocab: Any, config: Any) -> Transcriber:
    """Transcriber of units by a trained model: a SUTLM with CST rows, or a DMLM with the task asr.

    Args:
        folder: folder of the transcriber.
        vocab: vocabulary of the unit tokens to transcribe.
        config: configuration of their model.

    Raises:
        StaleArtifact: another codebook, or a SUTLM with another vocabulary.
    """
    if (Path(folder) / "text").is_dir():
        by_units: Callable[..., Transcriber] = load("speechprep.models.dmlm.inference:unit_transcriber")
        return by_units(folder, vocab, config.codebook)
    model, _ = load_model(folder)
    if model.config.vocabulary != config.vocabulary:
        raise StaleArtifact(
            f"{folder} has the vocabulary {model.config.vocabulary[:12]}, the model {config.vocabulary[:12]}; use a "
            "transcriber with the vocabulary of the model"
        )
    return sutlm_transcriber(model, vocab)


def evaluate_transfer(models: list[str], runs: list[str], options: TransferOptions) -> EvaluationResult:
    """The transfer matrix of SLUE."""
    cells = transfer(models, runs[0], options.labels, column=options.column)
    rows = []
    seeds = [training_seed(model) for model in models for _ in MODALITIES]
    for (trained, modality, score), seed in zip(cells, seeds, strict=True):
        span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
        n = f"{score.counts['utterances']:,}"
        rows.append((trained, modality, score.metric, f"{score.score:.1%}", span, n, seed))
    json = [{"trained_on": a, "asked_in": b, **score.as_dict()} for a, b, score in cells]
    columns = ("trained on", "evaluated on", "score", "", "95 % interval", "n", "training seed")
    return EvaluationResult([score for _, _, score in cells], columns, rows, json=json)


def grid_figures(model: str, runs: list[str], *, unseen: bool) -> dict[str, float]:
    """Renormalised CRA in all directions, with both pools of candidates. Long pairs are left out."""
    loaded, _, pairs = _pairs(model, runs, PairOptions.of({"unseen": unseen}))
    how = Retrieval(measures=("renormalised",), skip_long=True)
    return {score.metric.removesuffix(".renormalised"): score.score for score in cra([loaded], pairs, how)}


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
        for pair in load_pairs(
            run, vocab, min_words=options.min_words, split=options.split, codebook=book, fold=options.fold
        )
    ]
    if options.unseen:
        keep = unseen_of(model.config.held_out)([pair.id for pair in pairs])
        pairs = [pair for pair, kept in zip(pairs, keep, strict=True) if kept]
        if not pairs:
            listed = ", ".join(runs)
            raise BadInput(
                "no_pairs", f"no utterance of {listed} was excluded from training; train with a validation split"
            )

    return model, vocab, pairs[: options.limit]
