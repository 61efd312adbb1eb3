"""Context retrieval accuracy (CRA): fraction of continuations with their highest likelihood after the true context.

    CRA = 1/n sum_i 1[ argmax over j in C_i of log p(y_i | c_j) = i ]        (SUTLM, arXiv 2310.08715)

Each continuation y_i is scored after the candidate contexts C_i, with the true one among them. The length and the
prior likelihood of y_i therefore cancel out. Switch and end tokens are not scored. Directions are u2u, t2t, u2t and
t2u; the first letter is the modality of the context.

There are two tasks. `cra`: y_i is the second half of an utterance, c_i the first. `transcript`: y_i is the first half
in the other modality, after the tokens of a concatenated row (CST). The second task needs no discourse: it asks if
speech and its own transcript belong together.

Each figure stands beside the same figure of oracles without content, and of the same model with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.context_pairs import DIRECTIONS, Pair, prompt
from speechprep.models.evaluation.retrieval.accuracy import RESAMPLE, Resampling, chances, hits
from speechprep.models.evaluation.retrieval.candidates import POOLS, choose
from speechprep.models.evaluation.retrieval.likelihoods import MEASURES, Likelihoods, likelihoods
from speechprep.models.evaluation.retrieval.oracles import oracle_tables
from speechprep.models.evaluation.score import Score

TASKS = ("cra", "transcript")
RANDOM = "random weights"
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Settings of a retrieval.

    Attributes:
        candidates: largest number of contexts to choose from, with the true one.
        directions: some of `DIRECTIONS`; the task `transcript` has only u2t and t2u.
        pools: some of `POOLS`. A pool without any candidate gives no score.
        tasks: some of `TASKS`.
        measures: some of `MEASURES`.
        join: tokens between two modalities in training, see `context_pairs.prompt`; for the task `cra`.
        seed: seed of the candidates, of the intervals and of the random weights.
        tolerance, same_corpus: see `candidates.choose`. Lengths are tokens of the context.
        resample: one of `RESAMPLE`, the groups of the bootstrap.
        samples: number of bootstrap samples.
        skip_long: leave out pairs longer than the model's context; False: they are an error.
        threads: number of CPU threads. The rounding of sums depends on it.
        spread: further numbers of threads; the range of the accuracies is reported.

    Raises:
        ConfigError: an unknown name, fewer than 2 candidates, or a number out of range.
    """

    candidates: int = 100
    directions: Sequence[str] = DIRECTIONS
    pools: Sequence[str] = POOLS
    tasks: Sequence[str] = TASKS
    measures: Sequence[str] = MEASURES
    join: str = "ast"
    seed: int = 0
    tolerance: float = 0.1
    same_corpus: bool = True
    resample: str = "auto"
    samples: int = 1000
    skip_long: bool = False
    threads: int = 1
    spread: Sequence[int] = ()

    def __post_init__(self) -> None:
        for name, values, allowed in (
            ("direction", self.directions, DIRECTIONS),
            ("pool", self.pools, POOLS),
            ("task", self.tasks, TASKS),
            ("measure", self.measures, MEASURES),
            ("resample", (self.resample,), RESAMPLE),
        ):
            for value in values:
                if value not in allowed:
                    raise ConfigError(f"{name} {value!r} is unknown; set one of {', '.join(allowed)}")
        if self.candidates < 2:
            raise ConfigError(f"candidates={self.candidates} is too low; set at least 2")
        if not 0 <= self.tolerance <= 1:
            raise ConfigError(f"length_tolerance={self.tolerance:g} is out of range; set a fraction from 0 to 1")
        if min((self.threads, *self.spread)) < 1:
            raise ConfigError(f"threads={min((self.threads, *self.spread))} is too low; set at least 1")


@dataclass(frozen=True)
class _Question:
    """Contexts and continuations of one task in one direction."""

    task: str
    direction: str
    contexts: list[list[int]]
    continuations: list[list[int]]
    lengths: list[int] = field(repr=False)  # of the contexts, without marker tokens

    def fitting(self, limit: int) -> Mask:
        """(n,) True for pairs whose context fits the model with every continuation, and the reverse."""
        contexts, continuations = (np.array([len(x) for x in part]) for part in (self.contexts, self.continuations))
        fits = np.ones(len(contexts), bool)
        while fits.any() and contexts[fits].max() + continuations[fits].max() > limit:
            fits[np.argmax(np.where(fits, contexts + continuations, -1))] = False
        return fits


def cra(
    models: Sequence[Any], pairs: Sequence[Pair], how: Retrieval | None = None, *, names: Sequence[str] | None = None
) -> list[Score]:
    """Accuracies of one model, or mean accuracies of models of several seeds.

    Args:
        models: trained SUTLMs with one vocabulary.
        pairs: result of `context_pairs.load_pairs`, with different ids.
        how: settings; None: the defaults.
        names: names of the models; default: their indices.

    Returns:
        A score "<task>.<direction>.<pool>.<measure>" for each combination. `others` has the chance, the mean number of
        candidates, and the accuracy of each oracle and of random weights. `by` has the accuracy of each model.
        `how["warning"]` names the oracles above chance.

    Raises:
        ConfigError: a pair longer than the model's context.
        BadInput: no pair has a candidate (`no_candidates`).
    """
    how = how or Retrieval()
    baseline = random_weights(models[0], how.seed)
    resampling = Resampling.of(pairs, how.resample, samples=how.samples, seed=how.seed)
    scores = []
    for question in _questions(pairs, how, models[0].config.markers):
        masks = _masks(question, pairs, how, models[0].config.decoder.max_position_embeddings)
        if not masks:
            continue
        tables = _tables([*models, baseline], question, pairs, masks, how.threads)
        again = {n: _tables(models, question, pairs, masks, n) for n in how.spread}
        lengths = [len(y) for y in question.continuations]
        oracles = oracle_tables(pairs, question.lengths, lengths)
        for pool, mask in masks.items():
            for measure in how.measures:
                name = f"{question.task}.{question.direction}.{pool}.{measure}"
                won = [hits(getattr(table, measure), mask) for table in tables]
                other = {oracle: hits(table, mask) for oracle, table in oracles.items()} | {RANDOM: won.pop()}
                score = _score(name, won, other, mask, resampling, how)
                runs = [[hits(getattr(table, measure), mask) for table in ts] for ts in again.values()]
                by = {
                    f"{i} {names[i]}" if names else str(i): {"accuracy": float(np.nanmean(values))}
                    for i, values in enumerate(won)
                }
                scores.append(_with_spread(replace(score, by=by), [won, *runs], how))
    if not scores:
        raise BadInput(
            "no_candidates",
            "no pair has another context of its corpus and length to choose from; evaluate on more utterances, or "
            "raise --length-tolerance",
        )
    return scores


def random_weights(model: Any, seed: int) -> Any:
    """The model with random weights, on the same device."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return type(model)(model.config).eval().to(model.device)


@contextmanager
def fixed_threads(number: int) -> Iterator[None]:
    """Context in which torch uses `number` CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _questions(pairs: Sequence[Pair], how: Retrieval, markers: dict[str, int]) -> Iterator[_Question]:
    for task in how.tasks:
        own = task == "transcript"
        for direction in how.directions:
            source, target = direction[0], direction[2]
            if own and source == target:
                continue
            halves = [(p.context, p.context if own else p.continuation) for p in pairs]
            yield _Question(
                task,
                direction,
                [prompt(before, direction, "cst" if own else how.join, markers) for before, _ in halves],
                [(after.units if target == "u" else after.text).tolist() for _, after in halves],
                [len(before.units if source == "u" else before.text) for before, _ in halves],
            )


def _masks(question: _Question, pairs: Sequence[Pair], how: Retrieval, limit: int) -> dict[str, Mask]:
    """Candidates of each pool with any candidate."""
    kept = question.fitting(limit) if how.skip_long else np.ones(len(pairs), bool)
    index = np.flatnonzero(kept)
    masks = {}
    for pool in how.pools:
        mask = np.zeros((len(pairs), len(pairs)), bool)
        mask[np.ix_(index, index)] = choose(
            [pairs[i] for i in index.tolist()], pool, how.candidates, how.seed,
            lengths=[question.lengths[i] for i in index.tolist()], tolerance=how.tolerance, same_corpus=how.same_corpus,
        )  # fmt: skip
        if mask.any():
            masks[pool] = mask
    return masks


def _tables(
    models: Sequence[Any], question: _Question, pairs: Sequence[Pair], masks: dict[str, Mask], threads: int
) -> list[Likelihoods]:
    needed = np.logical_or.reduce(list(masks.values()))
    needed |= np.diag(needed.any(axis=1))
    names = [pair.id for pair in pairs]
    contexts, continuations = question.contexts, question.continuations
    with fixed_threads(threads):
        return [
            likelihoods(model, contexts, continuations, needed, modality_of(model, question.direction), names=names)
            for model in models
        ]


def modality_of(model: Any, direction: str) -> Sequence[int]:
    """Ids [start, stop) of the tokens of the continuations of a direction."""
    ids: Sequence[int] = model.config.ranges["unit" if direction[2] == "u" else "text"]
    return ids


def _score(
    metric: str,
    won: list[NDArray[np.float64]],
    oracles: dict[str, NDArray[np.float64]],
    mask: Mask,
    resampling: Resampling,
    how: Retrieval,
) -> Score:
    rows: Mask = np.asarray(mask.any(axis=1))
    mean = np.mean(won, axis=0)
    chance = chances(mask)
    above = []
    for name, values in oracles.items():
        interval = resampling.interval(np.where(rows, values - chance, 0.0), rows)
        excess = float((values - chance)[rows].mean())
        if name != RANDOM and excess > 1e-9 and (interval is None or interval.low > 1e-9):
            above.append(f"{name} {values[rows].mean():.1%}")
    warning = f"without content: {', '.join(above)}; chance {chance[rows].mean():.1%}" if above else ""
    return Score(
        metric,
        float(mean[rows].mean()),
        resampling.interval(np.where(rows, mean, 0.0), rows),
        counts={"pairs": int(rows.sum()), "left_out": int((~rows).sum()), "models": len(won)},
        others={"chance": float(chance[rows].mean()), "candidates": float(mask.sum(axis=1)[rows].mean() + 1)}
        | {f"oracle {name}" if name != RANDOM else name: float(v[rows].mean()) for name, v in oracles.items()},
        how={
            "interval": f"95 %, bootstrap over {resampling.over}",
            "join": "cst" if metric.startswith("transcript") else how.join,
            "seed": str(how.seed),
            "threads": str(how.threads),
        }
        | ({"warning": warning} if warning else {}),
    )


def _with_spread(score: Score, runs: list[list[NDArray[np.float64]]], how: Retrieval) -> Score:
    """The score with its lowest and highest value over the numbers of threads."""
    if not how.spread:
        return score
    means = [float(np.nanmean(np.mean(won, axis=0))) for won in runs]
    return replace(
        score,
        others=score.others | {"lowest over threads": min(means), "highest over threads": max(means)},
        how=score.how | {"numbers of threads": ", ".join(map(str, (how.threads, *how.spread)))},
    )
