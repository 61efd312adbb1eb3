"""Named loss terms: sums and counts that add up over batches and ranks, and one division for each update.

A model declares its terms. For each term t, a batch has the sum S_t of the losses of its targets and their number n_t.
Sums and counts are added over all batches of an update and over all ranks before the division:

    L = sum over groups g of w_g * (sum of S_t, t in g) / (sum of n_t, t in g)

Terms of one group share a denominator. SUTLM has one group: the mean over all tokens (arXiv 2310.08715). DMLM has one
group for each modality: the length-normalised loss with weights .25, .93, .25 (arXiv 2406.06582). A matching,
distillation or contrastive term is a group by itself and counts items (pairs). An absent term has S_t = n_t = 0 and
adds 0, not NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

UNITS = ("tokens", "items")  # units of the counts of a term
IGNORE = -100  # label without a loss, the default of torch's cross_entropy
LOGITS_BYTES = 1 << 27  # largest size of the float32 logits of one chunk
COMPACT = ("cpu",)  # types of devices on which positions without a target are left out of the product


@dataclass(frozen=True, slots=True)
class LossTerm:
    """A named part of a loss.

    Attributes:
        name: key in the metrics.
        weight: w_g of its group, equal for all terms of the group. 0: the term is reported and not trained.
        group: terms of one group share a denominator; None: a group of its own.
        unit: unit of its count. "tokens": positions of a sequence. "items": utterances or pairs. The metrics `tokens`
            and `items` are the sums of the counts of each unit.
    """

    name: str
    weight: float = 1.0
    group: str | None = None
    unit: Literal["tokens", "items"] = "tokens"


@dataclass(frozen=True, slots=True)
class ClassLosses:
    """Losses of next-token targets by class: sums (c,) float32 of -log p in nats, and counts (c,) int64."""

    sums: torch.Tensor
    counts: torch.Tensor


def token_log_p(logits: torch.Tensor, ids: torch.Tensor, among: slice = slice(None)) -> torch.Tensor:
    """(..) log p of tokens in nats, without a second table of the size of the logits.

    Args:
        logits: (.., vocabulary).
        ids: (..) token ids.
        among: range of the vocabulary of which p is a share; default: all tokens.
    """
    logits = logits.float()
    return logits.gather(-1, ids[..., None])[..., 0] - logits[..., among].logsumexp(-1)


def next_tokens(labels: torch.Tensor, document_ids: torch.Tensor | None = None) -> torch.Tensor:
    """Targets of all positions but the last: (b, l) labels -> (b, l - 1), `IGNORE` at the end of a document.

    Args:
        labels: (b, l) token ids, `IGNORE` for tokens without a loss.
        document_ids: (b, l) document of each position, -1 on padding; None: each row is one document.
    """
    targets = labels[:, 1:]
    if document_ids is None:
        return targets
    same = (document_ids[:, 1:] == document_ids[:, :-1]) & (document_ids[:, 1:] >= 0)
    return torch.where(same, targets, IGNORE)


def class_counts(targets: torch.Tensor, token_class: torch.Tensor, classes: int) -> torch.Tensor:
    """(c,) int64 number of targets of each class. `token_class` is (vocabulary,) in 0 .. c - 1."""
    return torch.bincount(token_class[targets[targets != IGNORE]], minlength=classes)


def class_losses(logits: torch.Tensor, targets: torch.Tensor, token_class: torch.Tensor, classes: int) -> ClassLosses:
    """Sums and counts by class of the target.

    Args:
        logits: (n, vocabulary).
        targets: (n,) token ids, `IGNORE` at positions without a target.
        token_class: (vocabulary,) int64 class of each token.
        classes: number of classes.
    """
    nll = cross_entropy(logits.float(), targets, reduction="none", ignore_index=IGNORE)
    one_hot = torch.nn.functional.one_hot(token_class[targets.clamp_min(0)], classes)
    one_hot = one_hot * (targets != IGNORE)[:, None]
    return ClassLosses(
        nll @ one_hot.to(nll.dtype), one_hot.sum(0)
    )  # a product is deterministic, scattered sums are not


def target_losses(
    hidden: torch.Tensor, targets: torch.Tensor, embedding: torch.Tensor, token_class: torch.Tensor, classes: int
) -> ClassLosses:
    """Losses by class of next-token targets, for an output layer tied to the embedding.

    Logits of more than `LOGITS_BYTES` are computed in chunks, and again in the backward pass. On devices of
    `COMPACT` they are computed only at positions with a target, elsewhere at all positions: no shape depends on data.

    Args:
        hidden: (b, l, d) last hidden states.
        targets: (b, l - 1) targets of `next_tokens`.
        embedding: (vocabulary, d) weights of the output layer.
        token_class: (vocabulary,) class of each token.
        classes: number of classes.
    """
    states, labels = hidden[:, :-1].flatten(0, 1), targets.flatten()
    if labels.device.type in COMPACT:
        chosen = labels != IGNORE
        states, labels = states[chosen], labels[chosen]
    rows = max(1, LOGITS_BYTES // (4 * len(embedding)))
    if len(labels) <= rows:
        return class_losses(states @ embedding.T, labels, token_class, classes)

    def sums(states: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses = class_losses(states @ embedding.T, labels, token_class, classes)
        return losses.sums, losses.counts

    chunks = zip(states.split(rows), labels.split(rows), strict=True)
    parts = [checkpoint(sums, some, embedding, those, use_reentrant=False) for some, those in chunks]
    return ClassLosses(*(torch.stack(column).sum(0) for column in zip(*parts, strict=True)))


def combine(terms: Sequence[LossTerm], sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The loss L of the module's formula, a scalar.

    Args:
        terms: the n terms.
        sums: (n,) sums of this batch, with gradient.
        counts: (n,) counts of all batches and ranks of the update. The losses of its batches then add up to L.
    """
    weight = torch.tensor([term.weight for term in terms], dtype=sums.dtype, device=sums.device)
    groups = [term.group or f"term {i}" for i, term in enumerate(terms)]
    same = torch.tensor([[a == b for b in groups] for a in groups], device=sums.device)
    used = (weight > 0).to(sums.dtype) * counts.to(sums.dtype)
    denominator = same.to(sums.dtype) @ used  # (n,) of each term's group
    return (weight * sums / torch.where(denominator > 0, denominator, 1.0)).sum()


def gather_ranks(vectors: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Vectors of all ranks with gradient, and the index of this rank's first vector.

    The backward pass adds the gradients of all ranks, so each rank receives the gradient of every loss that used its
    vectors. Every rank must call this function the same number of times.

    Args:
        vectors: (b, d) of this rank; b may differ between ranks, also 0.

    Returns:
        (sum of all b, d) vectors in the order of the ranks, and the index. Without ranks: the input and 0.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return vectors, 0
    from torch.distributed.nn.functional import all_gather

    size = torch.tensor([len(vectors)], device=vectors.device)
    gathered = [torch.zeros_like(size) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(gathered, size)
    sizes = [int(n) for n in gathered]
    padded = torch.nn.functional.pad(vectors, (0, 0, 0, max(sizes) - len(vectors)))  # collectives need equal shapes
    parts = [part[:n] for part, n in zip(all_gather(padded), sizes, strict=True)]
    return torch.cat(parts), sum(sizes[: torch.distributed.get_rank()])


def contrastive(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> tuple[torch.Tensor, int]:
    """InfoNCE (van den Oord et al. 2018) with the items of all ranks as negatives.

        l_i = -log exp(q_i . k_i / T) / sum over all items j of all ranks of exp(q_i . k_j / T)

    The negatives of an item are the other items of the same batch on all ranks. Accumulated batches are not negatives
    of each other. For a symmetric loss, add the sum with `queries` and `keys` exchanged.

    Args:
        queries, keys: (b, d) of this rank; row i of both is one item. Normalise them for a cosine similarity.
        temperature: T > 0.

    Returns:
        Sum of l_i over this rank's items with gradient, and b: the sum and count of a `LossTerm` of unit "items".
    """
    all_keys, first = gather_ranks(keys)
    targets = torch.arange(first, first + len(keys), device=keys.device)
    return cross_entropy((queries @ all_keys.T).float() / temperature, targets, reduction="sum"), len(keys)
