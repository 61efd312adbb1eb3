"""Cross-entropy by class of token, as sums and counts: what a loss over ranks and accumulated batches is made of.

A loss that is a mean can be put together from parts only if the parts are sums. So a model gives, for each class c of
target tokens (unit, text, ..), the sum S_c of -log p and the number n_c of tokens; counts are added over all batches
of an update and over all ranks, and the division comes once:

    plain      L = sum_c w_c S_c / sum_c w_c n_c        with w = 1: the mean over all tokens (SUTLM, arXiv 2310.08715)
    by class   L = sum_c w_c S_c / n_c                  length-normalised (DMLM, arXiv 2406.06582: .25, .93, .25)

A class that is absent has S_c = n_c = 0 and adds 0, not NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

IGNORE = -100  # label of a position that is no target, as everywhere in transformers


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
    """(c,) int64: how many targets there are of each class. `token_class` is (vocabulary,) in 0 .. c - 1."""
    return torch.bincount(token_class[targets[targets != IGNORE]], minlength=classes)


def class_losses(logits: torch.Tensor, targets: torch.Tensor, token_class: torch.Tensor, classes: int) -> ClassLosses:
    """Sums and counts by class of the target.

    Args:
        logits: (n, vocabulary) of the positions that have a target.
        targets: (n,) token ids, none `IGNORE`.
        token_class: (vocabulary,) int64, class of each token.
        classes: how many there are.
    """
    nll = cross_entropy(logits.float(), targets, reduction="none")
    of = torch.nn.functional.one_hot(token_class[targets], classes)
    return ClassLosses(nll @ of.to(nll.dtype), of.sum(0))  # a product, not scattered sums: the same on every run


def combine(sums: torch.Tensor, counts: torch.Tensor, weights: Sequence[float], *, by_class: bool) -> torch.Tensor:
    """The loss; see the module's text.

    Args:
        sums: (c,) of this batch.
        counts: (c,) of all batches and ranks that make one update; the losses of the parts then add up to its loss.
        weights: of the classes; 0 leaves one out.
        by_class: each class divided by its own count.
    """
    w = torch.tensor(weights, dtype=sums.dtype, device=sums.device)
    share = counts.to(sums.dtype) if by_class else (w * counts).sum()
    return (w * sums / torch.where(share > 0, share, 1.0)).sum()
