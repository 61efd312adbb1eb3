"""`speechprep eval blimp`: accuracy on minimal pairs, by paradigm, phenomenon and field, with baselines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.models.devices import device
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.minimal_pairs.declaration import BlimpOptions
from speechprep.models.evaluation.minimal_pairs.likelihood import (
    Sentence,
    encode,
    log_likelihoods,
    pseudo_log_likelihoods,
    unigram_bits,
)
from speechprep.models.evaluation.minimal_pairs.pairs import MinimalPair, read_pairs
from speechprep.models.evaluation.score import Score
from speechprep.models.zoo import EvaluationResult

F64 = NDArray[np.float64]
COLUMNS = ("phenomenon", "accuracy", "95 % interval", "paradigms", "pairs", "ties")


def evaluate(models: list[str], runs: list[str], options: BlimpOptions) -> EvaluationResult:
    """Accuracy of a model on the pairs of `runs[0]`, and of the baselines."""
    pairs, skipped = read_pairs(runs[0], options.fraction)
    model, tokenizer, method = load(models[0], options.method)
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.good, pair.bad)))
    sentences = encode(tokenizer, texts, _positions(model))
    values = _scores(model, tokenizer, method, sentences, options)
    rows = {method: _pairwise(values, texts, pairs)}
    if options.unigram is not None:
        rows["unigram"] = _pairwise(unigram_bits(_counts(tokenizer, options.unigram), sentences), texts, pairs)
    rows["fewer pieces"] = _pairwise(np.array([-float(len(s.scored)) for s in sentences]), texts, pairs)
    how = {
        "model": models[0], "method": method, "sentence score": "sum over pieces, bits, no length normalisation",
        "fraction": f"{options.fraction:g}", "skipped files": ", ".join(skipped) or "none",
    }  # fmt: skip
    scores = [replace(accuracy(name, pairs, both, options), how=how) for name, both in rows.items()]
    records = [
        {"id": pair.id, "paradigm": pair.paradigm, "good": float(good), "bad": float(bad)}
        for pair, (good, bad) in zip(pairs, rows[method].tolist(), strict=True)
    ]
    return EvaluationResult(scores, COLUMNS, _table(scores, pairs, rows[method]), records)


def load(folder: str, method: str) -> tuple[Any, Any, str]:
    """Model in evaluation mode, its tokenizer of transformers, and "pll" or "causal".

    Raises:
        StaleArtifact: no language model in the folder, another kind than `method` needs, or a tokenizer with other
            special ids than the model.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise StaleArtifact(f"{folder} has no model of transformers with a tokenizer ({reason})") from error
    masked = type(config) in AutoModelForMaskedLM._model_mapping
    causal = type(config) in AutoModelForCausalLM._model_mapping
    if method == "auto":
        method = "pll" if masked and tokenizer.mask_token_id is not None else "causal"
    if (method == "pll" and not (masked and tokenizer.mask_token_id is not None)) or (
        method == "causal" and not causal
    ):
        raise StaleArtifact(
            f"{folder} is a model of the kind {config.model_type!r} without the score {method!r}; choose another method"
        )
    _check_special_ids(config, tokenizer, folder)
    kind = AutoModelForMaskedLM if method == "pll" else AutoModelForCausalLM
    if method == "causal" and masked:
        config.is_decoder = True
    model = kind.from_pretrained(folder, config=config, local_files_only=True).eval()
    return model.to(device()), tokenizer, method


def _check_special_ids(config: Any, tokenizer: Any, folder: str) -> None:
    """Check the tokenizer in the folder of a model of speechprep.

    Raises:
        StaleArtifact: another id; the message names both.
    """
    facts = getattr(config, "speechprep", None) or {}
    for token, id in facts.get("special_ids", {}).items():
        found = tokenizer.convert_tokens_to_ids(token)
        if found != id:
            raise StaleArtifact(
                f"{folder}: {token} has id {found} in the tokenizer and id {id} in the model; restore the tokenizer of "
                "the model"
            )
    if len(tokenizer) > config.vocab_size:
        raise StaleArtifact(
            f"{folder}: the tokenizer has {len(tokenizer)} pieces, the model {config.vocab_size} embeddings; restore "
            "the tokenizer of the model"
        )


def _positions(model: Any) -> int:
    return int(getattr(model.config, "max_position_embeddings", None) or 1 << 30)


def _scores(model: Any, tokenizer: Any, method: str, sentences: list[Sentence], options: BlimpOptions) -> F64:
    total = sum(len(s.scored) for s in sentences) if method == "pll" else len(sentences)
    with progress(total, quiet=options.quiet) as advance:
        if method == "pll":
            mask = tokenizer.mask_token_id
            scores: F64 = pseudo_log_likelihoods(
                model, sentences, mask, batch_tokens=options.batch_tokens, advance=advance
            )
            return scores
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if start is None and any(not s.scored[0] for s in sentences):
            raise ConfigError("the tokenizer has no token for the begin of a sentence; take another model")
        likelihoods: F64 = log_likelihoods(model, sentences, start, batch_tokens=options.batch_tokens, advance=advance)
    return likelihoods


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Progress bar on the error stream of a terminal; the value is called with the number of finished rows."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("scoring", total=total)
        yield lambda count: bar.advance(task, count)
        bar.update(task, completed=total)  # equal masked rows ran once


def _counts(tokenizer: Any, source: str) -> NDArray[np.int64]:
    """(vocabulary,) number of each piece in the texts of a run or text file."""
    from speechprep.models.encoder.texts import load_texts

    texts = [row.text for row in load_texts([source]).rows]
    counts = np.zeros(len(tokenizer), np.int64)
    for start in range(0, len(texts), 1000):
        for ids in tokenizer(texts[start : start + 1000], add_special_tokens=False)["input_ids"]:
            counts += np.bincount(np.asarray(ids, np.int64), minlength=len(counts))
    return counts


def _pairwise(values: F64, texts: list[str], pairs: list[MinimalPair]) -> F64:
    """(pairs, 2) scores of the good and of the bad sentence."""
    if not np.isfinite(values).all():
        text = texts[int(np.argmin(np.isfinite(values)))]
        raise BadInput("not_finite", f"the score of sentence {text!r} is not finite; the model is damaged")
    number = {text: i for i, text in enumerate(texts)}
    return values[np.array([(number[pair.good], number[pair.bad]) for pair in pairs], np.int64)]


def accuracy(name: str, pairs: list[MinimalPair], both: F64, options: BlimpOptions) -> Score:
    """Mean accuracy over paradigms, with the interval over paradigms; a tie is not correct.

    Args:
        name: of the row.
        pairs: the pairs.
        both: (pairs, 2) scores of the good and of the bad sentence.
        options: samples and seed of the bootstrap.
    """
    difference = both[:, 0] - both[:, 1]
    table = {
        paradigm: (int((difference[rows] > 0).sum()), int((difference[rows] == 0).sum()), len(rows))
        for paradigm, rows in _groups([pair.paradigm for pair in pairs]).items()
    }
    names = sorted(table)
    shares = np.array([table[p][0] / table[p][2] for p in names])
    sums = np.stack([shares, np.ones(len(names))], 1)
    interval = Bootstrap(options.samples, seed=options.seed).interval(names, sums, lambda s: float(s[0] / s[1]))
    correct, ties, count = (sum(table[p][i] for p in names) for i in range(3))
    return Score(
        metric=f"minimal_pairs.{name.replace(' ', '_')}",
        score=float(shares.mean()),
        interval=None if interval is None else replace(interval, over="paradigms"),
        counts={"paradigms": len(names), "pairs": count, "correct": correct, "ties": ties},
        others={
            "over pairs": correct / count,
            "ties at one half": float(np.mean((difference > 0) + 0.5 * (difference == 0))),
        },
        by={p: {"accuracy": table[p][0] / table[p][2], "ties": table[p][1], "support": table[p][2]} for p in names},
    )


def _groups(names: list[str]) -> dict[str, NDArray[np.int64]]:
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(name, []).append(row)
    return {name: np.array(rows, np.int64) for name, rows in sorted(groups.items())}


def _table(scores: list[Score], pairs: list[MinimalPair], both: F64) -> list[tuple[str, ...]]:
    """A row for each phenomenon, then for each score over all paradigms."""
    rows = []
    for phenomenon, members in _groups([pair.phenomenon for pair in pairs]).items():
        part = accuracy("", [pairs[i] for i in members.tolist()], both[members], BlimpOptions.of({}))
        rows.append(_line(phenomenon, part))
    return rows + [_line(f"all, {score.metric.partition('.')[2].replace('_', ' ')}", score) for score in scores]


def _line(name: str, score: Score) -> tuple[str, ...]:
    span = f"{score.interval.low:.1%} to {score.interval.high:.1%}" if score.interval else ""
    counts = score.counts
    return (name, f"{score.score:.1%}", span, *(f"{counts[key]:,}" for key in ("paradigms", "pairs", "ties")))
