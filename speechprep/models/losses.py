"""Losses as named terms with sums and counts, so that they add up over batches and ranks.

A model declares its terms. For each term t it gives the sum S_t of the losses of its items and their number n_t.
Sums and counts are added over all batches of an update and over all ranks, and the division comes once:

    L = sum over groups g of w_g * (sum of S_t, t in g) / (sum of n_t, t in g)

Terms of one group share a denominator. SUTLM has one group: the mean over all tokens (arXiv 2310.08715). DMLM has a
group for each modality: the length-normalised loss with weights .25, .93, .25 (arXiv 2406.06582). A term of another
kind (distillation, matching, contrastive) is a group of its own, with its own items. An absent term has S_t = n_t = 0
and adds 0, not NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

IGNORE = -100  # label of a position that is no target, as everywhere in transformers


@dataclass(frozen=True, slots=True)
class LossTerm:
    """A named part of a loss.

    Attributes:
        name: in metrics.
        weight: w_g of its group, equal in the whole group; 0: the term is reported and not trained on.
        group: terms of one group share a denominator; None: a group of its own.
    """

    name: str
    weight: float = 1.0
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ClassLosses:
    """Sums (c,) float32 of -log p in nats and counts (c,) int64 of the targets, by class."""

    sums: torch.Tensor
    counts: torch.Tensor


def next_tokens(labels: torch.Tensor, document_ids: torch.Tensor | None = None) -> torch.Tensor:
    """Targets of all positions but the last: (b, l) labels -> (b, l - 1), `IGNORE` where the document ends.

    Args:
        labels: token ids as in the input, `IGNORE` where a token is not to be predicted.
        document_ids: (b, l), a number for each document of a row, -1 on padding; None: a row is one document.
    """
    targets = labels[:, 1:]
    if document_ids is None:
        return targets
    same = (document_ids[:, 1:] == document_ids[:, :-1]) & (document_ids[:, 1:] >= 0)
    return torch.where(same, targets, IGNORE)


def class_counts(targets: torch.Tensor, token_class: torch.Tensor, classes: int) -> torch.Tensor:
    """(c,) int64: number of targets of each class. `token_class` is (vocabulary,) in 0 .. c - 1."""
    return torch.bincount(token_class[targets[targets != IGNORE]], minlength=classes)


def class_losses(logits: torch.Tensor, targets: torch.Tensor, token_class: torch.Tensor, classes: int) -> ClassLosses:
    """Sums and counts by class of the target.

    Args:
        logits: (n, vocabulary) of the positions with a target.
        targets: (n,) token ids, none `IGNORE`.
        token_class: (vocabulary,) int64, class of each token.
        classes: how many there are.
    """
    nll = cross_entropy(logits.float(), targets, reduction="none")
    of = torch.nn.functional.one_hot(token_class[targets], classes)
    return ClassLosses(nll @ of.to(nll.dtype), of.sum(0))  # a product, not scattered sums: the same on every run


def combine(terms: Sequence[LossTerm], sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The loss of the module's formula, a scalar.

    Args:
        terms: n of them.
        sums: (n,) of this batch, with gradient.
        counts: (n,) of all batches and ranks of one update; the losses of its batches then add up to its loss.
    """
    weight = torch.tensor([term.weight for term in terms], dtype=sums.dtype, device=sums.device)
    groups = [term.group or f"term {i}" for i, term in enumerate(terms)]
    same = torch.tensor([[a == b for b in groups] for a in groups], device=sums.device)
    used = (weight > 0).to(sums.dtype) * counts.to(sums.dtype)
    share = same.to(sums.dtype) @ used  # (n,) denominator of each term's group
    return (weight * sums / torch.where(share > 0, share, 1.0)).sum()


def gather_ranks(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of all ranks, with gradient: (b, d) on each rank -> (ranks * b, d), in the order of the ranks.

    Every rank must have the same b. Without ranks the input itself is returned.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return vectors
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(vectors))


def contrastive(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> tuple[torch.Tensor, int]:
    """InfoNCE with the items of all ranks as negatives: sum of -log p over this rank's items, and their number.

        l_i = -log exp(q_i . k_i / T) / sum over all items j of all ranks of exp(q_i . k_j / T)

    The negatives are the items of one batch on all ranks; accumulated batches do not see each other.

    Args:
        queries, keys: (b, d) of this rank, row i of both is one item; unit length if the similarity is a cosine.
        temperature: T > 0.
    """
    everything = gather_ranks(keys)
    first = torch.distributed.get_rank() * len(keys) if len(everything) > len(keys) else 0
    targets = torch.arange(first, first + len(keys), device=keys.device)
    return cross_entropy((queries @ everything.T).float() / temperature, targets, reduction="sum"), len(keys)
