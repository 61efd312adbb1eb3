"""Scores of sentences: pseudo-log-likelihood of a masked model, and log-likelihood of a causal model, in bits.

    PLL(x) = sum over positions i of log2 p(x_i | x with [MASK] at i)        (Salazar et al. 2020, arXiv 1910.14659)
    LL(x)  = sum over positions i of log2 p(x_i | x_1 .. x_i-1)

Special tokens are neither masked nor scored, and there is no normalisation by length, as in the BabyLM evaluation of
2023.

Batches: a sentence of n pieces needs n masked rows. Rows of all sentences are sorted by length and cut into batches, so
a batch holds rows of one length and no padding. Equal rows run once: the two sentences of a pair with one different
piece share the row in which this piece is masked. Logits are computed at the masked position only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.models.losses import token_log_p

Advance = Callable[[int], None]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Sentence:
    """Token ids with special tokens, and the positions to score."""

    ids: tuple[int, ...]
    scored: tuple[int, ...]


def encode(tokenizer: Any, sentences: Sequence[str], limit: int) -> list[Sentence]:
    """Sentences as token ids.

    Args:
        tokenizer: of transformers.
        sentences: the sentences.
        limit: number of positions of the model.

    Raises:
        ConfigError: a sentence longer than the model, or without a piece.
    """
    out = []
    for text in sentences:
        coded = tokenizer(text, return_special_tokens_mask=True)
        ids, special = coded["input_ids"], coded["special_tokens_mask"]
        scored = tuple(place for place, flag in enumerate(special) if not flag)
        if len(ids) > limit or not scored:
            problem = f"{len(ids)} tokens, the model has {limit} positions" if scored else "no token"
            raise ConfigError(f"sentence {text!r} has {problem}; remove its pair, or take another model")
        out.append(Sentence(tuple(ids), scored))
    return out


@torch.inference_mode()
def pseudo_log_likelihoods(
    model: Any, sentences: Sequence[Sentence], mask: int, *, batch_tokens: int, advance: Advance = lambda n: None
) -> F64:
    """(n,) PLL of each sentence, in bits.

    Args:
        model: a masked language model of transformers, in evaluation mode.
        sentences: from `encode`.
        mask: id of the mask token.
        batch_tokens: largest number of tokens of a forward pass.
        advance: called with the number of finished masked rows.
    """
    rows: dict[tuple[int, ...], int] = {}  # masked row -> its number
    position: list[int] = []
    users: list[list[tuple[int, int]]] = []  # row -> (sentence, target)
    for number, sentence in enumerate(sentences):
        for place in sentence.scored:
            masked = (*sentence.ids[:place], mask, *sentence.ids[place + 1 :])
            row = rows.setdefault(masked, len(users))
            if row == len(users):
                users.append([])
                position.append(place)
            users[row].append((number, sentence.ids[place]))
    inputs = list(rows)
    totals = np.zeros(len(sentences))
    for batch in _batches([len(row) for row in inputs], batch_tokens):
        ids = torch.tensor([inputs[row] for row in batch], device=model.device)
        places = torch.tensor([position[row] for row in batch], device=model.device)
        pairs = [(i, number, target) for i, row in enumerate(batch) for number, target in users[row]]
        of_row, owner, target = (list(column) for column in zip(*pairs, strict=True))
        logits = masked_logits(model, ids, places)
        values = token_log_p(logits[of_row], torch.tensor(target, device=model.device))
        np.add.at(totals, owner, values.double().cpu().numpy() / math.log(2))
        advance(len(batch))
    return totals


def masked_logits(model: Any, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(b, vocabulary) logits at one position of each row (b, l) without padding."""
    row = torch.arange(len(ids), device=ids.device)
    if getattr(model.config, "model_type", "") == "bert":
        return model.cls(model.bert(ids).last_hidden_state[row, places])
    return model(input_ids=ids).logits[row, places]


@torch.inference_mode()
def log_likelihoods(
    model: Any, sentences: Sequence[Sentence], start: int, *, batch_tokens: int, advance: Advance = lambda n: None
) -> F64:
    """(n,) log-likelihood of each sentence under a causal model, in bits.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        sentences: from `encode`.
        start: id put before a sentence that does not begin with a special token.
        batch_tokens: largest number of tokens of a forward pass.
        advance: called with the number of finished sentences.
    """
    rows = [sentence.ids if sentence.scored[0] else (start, *sentence.ids) for sentence in sentences]
    totals = np.zeros(len(sentences))
    for batch in _batches([len(row) for row in rows], batch_tokens):
        ids = torch.tensor([rows[number] for number in batch], device=model.device)
        each = token_log_p(model(input_ids=ids).logits[:, :-1], ids[:, 1:]).double().cpu().numpy() / math.log(2)
        for i, number in enumerate(batch):
            sentence = sentences[number]
            shift = len(rows[number]) - len(sentence.ids) - 1
            totals[number] = each[i, [place + shift for place in sentence.scored]].sum()
        advance(len(batch))
    return totals


def _batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of equal length, shortest first, at most `batch_tokens` tokens or one row together."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    batch: list[int] = []
    for row in order:
        if batch and (lengths[row] != lengths[batch[0]] or (len(batch) + 1) * lengths[row] > batch_tokens):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def unigram_bits(counts: NDArray[np.int64], sentences: Sequence[Sentence]) -> F64:
    """(n,) sum of log2 p of the pieces; p from counts (vocabulary,), each raised by 1 (Laplace)."""
    logs = np.log2((counts + 1) / (counts + 1).sum())
    return np.array([logs[[sentence.ids[place] for place in sentence.scored]].sum() for sentence in sentences])
