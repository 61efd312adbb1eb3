"""Generation in one modality, greedy, sampled or by beam search, with the logits of all other tokens masked.

It wraps transformers' `generate` for every decoder of the zoo. A sample is the largest logit after adding Gumbel noise
(Gumbel 1954; the same distribution as sampling from the softmax). The noise depends on the seed, the key of the prompt
and the step. A sample is therefore independent of the other prompts of its batch and of global random state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import record_keys


@dataclass(frozen=True)
class Decoding:
    """Decoding options.

    Attributes:
        max_new_tokens: largest number of generated tokens.
        sample: True to sample instead of taking the most likely token.
        temperature, top_k, top_p: sampling parameters. top_k = 0 and top_p = 1 set no limit.
        beams: beam width; 1 is greedy. It excludes `sample`.
        length_penalty: exponent of the length; the score of a beam is divided by length ** length_penalty.
        seed: seed of the sampling.

    Raises:
        ConfigError: a value out of range.
    """

    max_new_tokens: int = 256
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 1
    length_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={self.max_new_tokens} is too low; set at least 1")
        if self.beams < 1 or (self.sample and self.beams > 1):
            raise ConfigError(f"beams={self.beams} is out of range; set at least 1, and exactly 1 with sample=True")
        if not (self.temperature > 0 and 0 < self.top_p <= 1 and self.top_k >= 0):
            raise ConfigError(
                f"temperature={self.temperature:g}, top_p={self.top_p:g}, top_k={self.top_k} are out of range; "
                "set temperature above 0, top_p above 0 and at most 1, top_k at least 0"
            )


class OnlyTokens(LogitsProcessor):
    """Sets the logits of all tokens outside `allowed` (vocabulary,) bool to minus infinity."""

    def __init__(self, allowed: torch.Tensor) -> None:
        self.allowed = allowed

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(b, vocabulary) logits -> masked logits."""
        return scores.masked_fill(~self.allowed, -torch.inf)


class GumbelNoise(LogitsProcessor):
    """Adds Gumbel noise to the logits, from one random generator for each row, seeded by its key."""

    def __init__(self, seed: int, keys: Sequence[str]) -> None:
        seeds = record_keys(seed, "generate", keys).tolist()
        self.generators = [torch.Generator().manual_seed(s) for s in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(b, vocabulary) logits -> logits with noise."""
        uniform = torch.stack([torch.rand(scores.shape[1], generator=g, dtype=torch.float64) for g in self.generators])
        noise = -torch.log(-torch.log(uniform.clamp_min(torch.finfo(torch.float64).tiny)))
        return scores + noise.to(scores.device, scores.dtype)


def allowed_tokens(vocab_size: int, ranges: Sequence[Sequence[int]], also: Sequence[int] = ()) -> torch.Tensor:
    """(vocabulary,) bool: True within the id ranges [start, stop) and at the ids of `also`."""
    allowed = torch.zeros(vocab_size, dtype=torch.bool)
    for start, stop in ranges:
        allowed[start:stop] = True
    allowed[list(also)] = True
    return allowed


@torch.no_grad()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    allowed: torch.Tensor,
    stop: int,
    how: Decoding,
    *,
    keys: Sequence[str] | None = None,
    batch: int = 16,
) -> list[list[int]]:
    """Continuations of prompts, without the stop token.

    Args:
        model: a causal model of transformers.
        prompts: token ids, at least one for each prompt.
        allowed: (vocabulary,) bool, True for allowed tokens; it should include `stop`.
        stop: id of the token that ends a continuation.
        how: decoding options.
        keys: names of the prompts, the keys of the sampling; default: their indices.
        batch: number of prompts in a batch. It changes the result only by rounding.

    Raises:
        ConfigError: an empty prompt, or one as long as the model's context.
    """
    names = [str(i) for i in range(len(prompts))] if keys is None else list(keys)
    context = model.config.get_text_config(decoder=True).max_position_embeddings
    for name, prompt in zip(names, prompts, strict=True):
        if not 0 < len(prompt) < context:
            raise ConfigError(f"prompt {name!r} has {len(prompt)} tokens; give 1 to {context - 1} tokens")
    continuations: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # similar lengths in a batch need less padding
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        outputs = _batch(model, [prompts[i] for i in chosen], allowed, stop, how, [names[i] for i in chosen], context)
        for i, ids in zip(chosen, outputs, strict=True):
            continuations[i] = ids
    return continuations


def _batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    allowed: torch.Tensor,
    stop: int,
    how: Decoding,
    keys: Sequence[str],
    context: int,
) -> list[list[int]]:
    device, width = model.device, max(map(len, prompts))
    ids = torch.full((len(prompts), width), stop, device=device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt), device=device)
        mask[row, width - len(prompt) :] = 1
    out = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=min(how.max_new_tokens, context - width),
        num_beams=how.beams,
        length_penalty=how.length_penalty,
        do_sample=False,
        renormalize_logits=how.beams > 1,  # beam scores are then log p among the allowed tokens
        logits_processor=_processors(allowed.to(device), how, keys),
        eos_token_id=stop,
        pad_token_id=stop,
    )
    rows = out[:, width:].tolist()
    return [row[: row.index(stop)] if stop in row else row for row in rows]


def _processors(allowed: torch.Tensor, how: Decoding, keys: Sequence[str]) -> LogitsProcessorList:
    processors = LogitsProcessorList([OnlyTokens(allowed)])
    if how.sample:
        if how.temperature != 1:
            processors.append(TemperatureLogitsWarper(how.temperature))
        if how.top_k:
            processors.append(TopKLogitsWarper(how.top_k))
        if how.top_p < 1:
            processors.append(TopPLogitsWarper(how.top_p))
        processors.append(GumbelNoise(how.seed, keys))
    return processors
