"""Log-likelihoods of continuations after contexts, over the whole vocabulary and over one modality.

    paper          sum_t log p(y_t | c, y_<t)                          (SUTLM, arXiv 2310.08715)
    renormalised   sum_t log [ p(y_t | c, y_<t) / sum_{v in M} p(v | c, y_<t) ]

M is the set of all tokens of the modality of y. The score of the paper contains the probability of M itself after the
context. A model that only guesses the next modality can therefore rank contexts by it. The renormalised score cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.models.losses import token_log_p

MEASURES = ("renormalised", "paper")
_BATCH_TOKENS = 4096  # tokens of continuations in one forward pass


@dataclass(frozen=True)
class Likelihoods:
    """(n, m) log-likelihood of continuation i after context j, in nats; NaN where it was not computed."""

    paper: NDArray[np.float64]
    renormalised: NDArray[np.float64]


def likelihoods(
    model: Any,
    contexts: Sequence[list[int]],
    continuations: Sequence[list[int]],
    needed: NDArray[np.bool_],
    modality: Sequence[int],
    *,
    names: Sequence[str] | None = None,
) -> Likelihoods:
    """Both log-likelihoods of continuations after contexts.

    A context runs through the model once. All continuations reuse its KV cache.

    Args:
        model: a decoder of the zoo.
        contexts: m lists of token ids.
        continuations: n lists of token ids, none empty.
        needed: (n, m) True for the values to compute.
        modality: ids [start, stop) of the tokens of the continuations.
        names: (m,) names of the contexts for messages; default: their indices.

    Raises:
        ConfigError: a context and its continuation are longer than the model's context.
    """
    limit = model.config.decoder.max_position_embeddings
    tables = np.full((2, *needed.shape), np.nan)
    lengths = np.array([len(y) for y in continuations])
    for j, context in enumerate(contexts):
        rows = np.flatnonzero(needed[:, j])
        if len(rows) and len(context) + lengths[rows].max() > limit:
            raise ConfigError(
                f"context {j if names is None else repr(names[j])} has {len(context)} tokens and a continuation "
                f"{lengths[rows].max()}, the model has {limit} positions; skip long pairs (--skip-long), or evaluate "
                "on shorter utterances"
            )
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        with torch.no_grad():
            for i, values in _after(model, context, [continuations[i] for i in rows.tolist()], modality):
                tables[:, rows[i], j] = values
    return Likelihoods(tables[0], tables[1])


def _after(
    model: Any, context: list[int], continuations: list[list[int]], modality: Sequence[int]
) -> Iterator[tuple[int, list[float]]]:
    """Index and both log-likelihoods of each continuation. Continuations are sorted by length."""
    from transformers import DynamicCache

    if not continuations:
        return
    first = model(torch.tensor([context], device=model.device), use_cache=True)
    cached = [(layer.keys, layer.values) for layer in first.past_key_values.layers]
    at = 0
    while at < len(continuations):
        stop = at + 1
        while stop < len(continuations) and (stop + 1 - at) * len(continuations[stop]) <= _BATCH_TOKENS:
            stop += 1
        part, width = continuations[at:stop], len(continuations[stop - 1])
        ids = torch.zeros((len(part), width), dtype=torch.int64)
        inside = torch.zeros_like(ids, dtype=torch.bool)
        for row, y in enumerate(part):
            ids[row, : len(y)], inside[row, : len(y)] = torch.tensor(y), True
        ids, inside = ids.to(model.device), inside.to(model.device)
        log_p = _both_log_p(first.logits[:, -1:].expand(len(part), -1, -1), ids[:, :1], modality)
        if width > 1:
            shape = (len(part), -1, -1, -1)
            cache = DynamicCache([(keys.expand(*shape), values.expand(*shape)) for keys, values in cached])
            positions = torch.arange(len(context), len(context) + width - 1, device=model.device)
            positions = positions.expand(len(part), -1)
            out = model(ids[:, :-1], past_key_values=cache, position_ids=positions, use_cache=True)
            log_p = torch.cat([log_p, _both_log_p(out.logits, ids[:, 1:], modality)], 2)
        sums = torch.where(inside, log_p.double(), 0.0).sum(2)  # a product with the mask gives NaN for -inf
        for row, values in enumerate(sums.T.tolist()):
            yield at + row, values
        at = stop


def _both_log_p(logits: torch.Tensor, ids: torch.Tensor, modality: Sequence[int]) -> torch.Tensor:
    """(2, b, l) log p of each token, over all tokens and over the modality, from (b, l, vocabulary) logits."""
    logits = logits.float()
    return torch.stack([token_log_p(logits, ids), token_log_p(logits, ids, slice(*modality))])
