"""Context retrieval accuracy (CRA): fraction of continuations with their highest likelihood after the true context.

    CRA = 1/n sum_i 1[ argmax over j in C_i of log p(y_i | c_j) = i ]        (SUTLM, arXiv 2310.08715)

Each continuation y_i is scored after N candidate contexts C_i, with the true one among them. The length and the prior
likelihood of y_i therefore cancel out. Switch and end tokens are not scored. Directions are u2u, t2t, u2t and t2u; the
first letter is the modality of the context. Candidates come from other speakers (`other`) or from the same speaker
(`same`). The pool `same` gives no advantage to a model that only recognises voices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.context_pairs import Pair, prompt
from speechprep.models.evaluation.score import Interval, Score
from speechprep.tokenizers.arrays.keyed_random import mix64, record_keys, salted

DIRECTIONS = ("u2u", "t2t", "u2t", "t2u")
POOLS = ("other", "same")
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
_BATCH_TOKENS = 4096  # tokens of continuations in one forward pass


def cra(
    model: Any,
    pairs: Sequence[Pair],
    *,
    candidates: int = 100,
    directions: Sequence[str] = DIRECTIONS,
    pools: Sequence[str] = POOLS,
    join: str = "ast",
    seed: int = 0,
) -> list[Score]:
    """Accuracy in each direction with each pool of candidates.

    Args:
        model: a trained SUTLM.
        pairs: result of `context_pairs.load_pairs`.
        candidates: number of contexts to choose from, with the true one; fewer if the pool is smaller.
        directions: some of `DIRECTIONS`.
        pools: some of `POOLS`. A pool without any candidate gives no score.
        join: tokens between two modalities in training, see `context_pairs.prompt`.
        seed: seed of the choice of candidates.


    Raises:
        ConfigError: an unknown direction or pool, fewer than 2 candidates, or a pair longer than the model's context.
        BadInput: no pair has a candidate (`no_candidates`).
    """
    for name, values, allowed in (("direction", directions, DIRECTIONS), ("pool", pools, POOLS)):
        for value in values:
            if value not in allowed:
                raise ConfigError(f"{name} {value!r} is unknown; set one of {', '.join(allowed)}")
    if candidates < 2:
        raise ConfigError(f"candidates={candidates} is too low; set at least 2")
    masks = {pool: choose(pairs, pool, candidates, seed) for pool in pools}
    masks = {pool: mask for pool, mask in masks.items() if mask.any()}
    if not masks:
        raise BadInput("no_candidates", "no pair has another context to choose from; evaluate on more utterances")
    needed = np.logical_or.reduce([*masks.values(), np.eye(len(pairs), dtype=bool)])
    scores = []
    for direction in directions:
        contexts = [prompt(pair.context, direction, join, model.config.markers) for pair in pairs]
        continuations = [(p.continuation.units if direction[2] == "u" else p.continuation.text).tolist() for p in pairs]
        table = log_likelihoods(model, contexts, continuations, needed)
        scores += [accuracy(table, mask, f"cra.{direction}.{pool}") for pool, mask in masks.items()]
    return scores


def choose(pairs: Sequence[Pair], pool: str, candidates: int, seed: int) -> NDArray[np.bool_]:
    """(n, n) True where context j is a false candidate of continuation i: the first ones in a seeded order."""
    keys = record_keys(seed, "cra", [pair.id for pair in pairs])
    order = mix64(keys[:, None] ^ salted(keys, 1)[None, :])
    speakers = np.array([pair.speaker for pair in pairs])
    same = (speakers[:, None] == speakers[None, :]) & (speakers[:, None] != "")
    fits = same if pool == "same" else ~same
    np.fill_diagonal(fits, val=False)
    rank = np.argsort(np.argsort(np.where(fits, order, np.uint64(2**64 - 1)), axis=1, kind="stable"), axis=1)
    chosen: NDArray[np.bool_] = fits & (rank < candidates - 1)
    return chosen


def log_likelihoods(
    model: Any, contexts: Sequence[list[int]], continuations: Sequence[list[int]], needed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(n, m) sum of log p over the tokens of continuation i after context j, NaN where `needed` (n, m) is False.

    A context runs through the model once. All continuations reuse its KV cache.

    Raises:
        ConfigError: a context and its continuation are longer than the model's context.
    """
    import torch

    limit = model.config.decoder.max_position_embeddings
    table = np.full(needed.shape, np.nan)
    lengths = np.array([len(y) for y in continuations])
    for j, context in enumerate(contexts):
        rows = np.flatnonzero(needed[:, j])
        if len(rows) and len(context) + lengths[rows].max() > limit:
            raise ConfigError(
                f"context {j} has {len(context)} tokens and a continuation {lengths[rows].max()}, "
                f"the model has {limit} positions; evaluate on shorter utterances"
            )
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        with torch.no_grad():
            for i, value in _after(model, context, [continuations[i] for i in rows.tolist()]):
                table[rows[i], j] = value
    return table


def _after(model: Any, context: list[int], continuations: list[list[int]]) -> Any:
    """Index and log-likelihood of each continuation. Continuations are sorted by length."""
    import torch
    from transformers import DynamicCache

    if not continuations:
        return
    first = model(torch.tensor([context], device=model.device), use_cache=True)
    start = first.logits[0, -1].float().log_softmax(-1)
    cached = [(layer.keys, layer.values) for layer in first.past_key_values.layers]
    at = 0
    while at < len(continuations):
        stop = at + 1
        while stop < len(continuations) and (stop + 1 - at) * len(continuations[stop]) <= _BATCH_TOKENS:
            stop += 1
        part, width = continuations[at:stop], len(continuations[stop - 1])
        ids = torch.zeros((len(part), width), dtype=torch.int64)
        for row, y in enumerate(part):
            ids[row, : len(y)] = torch.tensor(y)
        ids = ids.to(model.device)
        log_p = start[ids[:, 0]][:, None]
        if width > 1:
            shape = (len(part), -1, -1, -1)
            cache = DynamicCache([(keys.expand(*shape), values.expand(*shape)) for keys, values in cached])
            positions = torch.arange(len(context), len(context) + width - 1, device=model.device)
            positions = positions.expand(len(part), -1)
            out = model(ids[:, :-1], past_key_values=cache, position_ids=positions, use_cache=True)
            rest = out.logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            log_p = torch.cat([log_p, rest], 1)
        inside = (
            torch.arange(width, device=model.device)
            < torch.tensor([len(y) for y in part], device=model.device)[:, None]
        )
        for row, value in enumerate((log_p.double() * inside).sum(1).tolist()):
            yield at + row, value
        at = stop


def accuracy(table: NDArray[np.float64], candidates: NDArray[np.bool_], metric: str) -> Score:
    """Fraction of continuations with the highest log-likelihood after their true context. A tie of k counts 1/k.

    Args:
        table: (n, n) log-likelihoods of `log_likelihoods`.
        candidates: (n, n) result of `choose`; rows without a candidate are excluded.
        metric: name of the score.
    """
    rows = candidates.any(axis=1)
    true = np.diagonal(table)[rows]
    others = np.where(candidates, table, -np.inf)[rows]
    best = others.max(axis=1)
    ties = (others == true[:, None]).sum(axis=1)
    won = np.where(true >= best, 1 / (1 + ties * (true == best)), 0.0)
    n = int(rows.sum())
    sizes = candidates.sum(axis=1)[rows] + 1
    low, high = wilson(float(won.sum()), n)
    return Score(
        metric,
        float(won.mean()),
        Interval(low, high, 0.95, 0, "pairs", n),
        counts={"pairs": n, "left_out": len(table) - n},
        others={"chance": float((1 / sizes).mean()), "candidates": float(sizes.mean())},
        how={"interval": "wilson", "score": "sum of log p over the continuation's tokens"},
    )


def wilson(hits: float, n: int, z: float = _Z) -> tuple[float, float]:
    """Confidence interval of a fraction, also valid near 0 and 1 (Wilson, "Probable inference", 1927)."""

    share = hits / n
    centre, spread = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float((centre - spread) / (1 + z * z / n))), min(1.0, float((centre + spread) / (1 + z * z / n)))
