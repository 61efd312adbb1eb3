"""Generation in one modality: greedy, sampled or by beam, with the logits of everything else masked.

One implementation for every decoder of the zoo, over transformers' `generate`. A sample is drawn by adding Gumbel noise
to the logits and taking the largest (Gumbel 1954; the same distribution as sampling from the softmax). The noise is a
function of seed, the prompt's key and the step, so what a prompt gives depends on no other prompt of the batch, and no
global random state is touched.
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
    """How to decode.

    Attributes:
        max_new_tokens: most tokens to make.
        sample: draw instead of taking the best.
        temperature, top_k, top_p: of the draw; 0 for no top_k, 1 for no top_p.
        beams: beam width; 1 for none. Not together with `sample`.
        length_penalty: a beam's score is divided by its length to the power of this exponent.
        seed: of the draw.
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
            raise ConfigError(f"max_new_tokens={self.max_new_tokens}; at least 1 is needed")
        if self.beams < 1 or (self.sample and self.beams > 1):
            raise ConfigError(f"beams={self.beams}; at least 1, and 1 where sample is true")
        if not (self.temperature > 0 and 0 < self.top_p <= 1 and self.top_k >= 0):
            raise ConfigError(
                f"temperature={self.temperature:g}, top_p={self.top_p:g}, top_k={self.top_k}; "
                "a temperature above 0, top_p above 0 and at most 1, top_k of at least 0 are needed"
            )


class OnlyTokens(LogitsProcessor):
    """Minus infinity for every token outside of the allowed ones, (vocabulary,) bool."""

    def __init__(self, allowed: torch.Tensor) -> None:
        self.allowed = allowed

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(b, vocabulary) -> the same, masked."""
        return scores.masked_fill(~self.allowed, -torch.inf)


class GumbelNoise(LogitsProcessor):
    """Gumbel noise: with it the largest logit is a random draw. One generator for each row, from its key."""

    def __init__(self, seed: int, keys: Sequence[str]) -> None:
        seeds = record_keys(seed, "generate", keys).tolist()
        self.generators = [torch.Generator().manual_seed(s) for s in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(b, vocabulary) -> the same with noise."""
        uniform = torch.stack([torch.rand(scores.shape[1], generator=g, dtype=torch.float64) for g in self.generators])
        noise = -torch.log(-torch.log(uniform.clamp_min(torch.finfo(torch.float64).tiny)))
        return scores + noise.to(scores.device, scores.dtype)


def allowed_tokens(vocab_size: int, ranges: Sequence[Sequence[int]], also: Sequence[int] = ()) -> torch.Tensor:
    """(vocabulary,) bool: True within the id ranges [start, stop) and at the ids of `also`."""
    found = torch.zeros(vocab_size, dtype=torch.bool)
    for start, stop in ranges:
        found[start:stop] = True
    found[list(also)] = True
    return found


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
        prompts: token ids, at least one each.
        allowed: (vocabulary,) bool of the allowed tokens; `stop` must be one of them to be reached.
        stop: id of the last token of a continuation.
        how: see there.
        keys: names of the prompts, keys of the random draws; default: their numbers.
        batch: prompts at a time; changes nothing but rounding.

    Raises:
        ConfigError: an empty prompt, or one as long as the model's context.
    """
    names = [str(i) for i in range(len(prompts))] if keys is None else list(keys)
    context = model.config.get_text_config(decoder=True).max_position_embeddings
    for name, prompt in zip(names, prompts, strict=True):
        if not 0 < len(prompt) < context:
            raise ConfigError(f"prompt {name!r} has {len(prompt)} tokens; 1 to {context - 1} fit the model")
    found: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # alike lengths together: little padding
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        made = _batch(model, [prompts[i] for i in chosen], allowed, stop, how, [names[i] for i in chosen], context)
        for i, ids in zip(chosen, made, strict=True):
            found[i] = ids
    return found


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
        renormalize_logits=how.beams > 1,  # scores of beams are log p among the allowed tokens
        logits_processor=_processors(allowed.to(device), how, keys),
        eos_token_id=stop,
        pad_token_id=stop,
    )
    made = out[:, width:].tolist()
    return [row[: row.index(stop)] if stop in row else row for row in made]


def _processors(allowed: torch.Tensor, how: Decoding, keys: Sequence[str]) -> LogitsProcessorList:
    made = LogitsProcessorList([OnlyTokens(allowed)])
    if how.sample:
        if how.temperature != 1:
            made.append(TemperatureLogitsWarper(how.temperature))
        if how.top_k:
            made.append(TopKLogitsWarper(how.top_k))
        if how.top_p < 1:
            made.append(TopPLogitsWarper(how.top_p))
        made.append(GumbelNoise(how.seed, keys))
    return made
