"""What the decoder models share: packed rows into OPT's decoder, and the loss of its targets out of it.

The decoder is transformers' `OPTModel` as it is: pre-layer-norm, learned positions, KV cache, SDPA. Packed rows need
two things that it takes as arguments: a mask that keeps attention inside each document, and positions that start at
each document's begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import OPTConfig
from transformers.utils.generic import ModelOutput

from speechprep.errors import ConfigError
from speechprep.models.losses import IGNORE, ClassLosses, class_losses

# OPT-125M's shape, and OPT-350M's with pre-layer-norm and no projection (SUTLM trains it from scratch).
SIZES = {
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 128},
    "mini": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "ffn_dim": 1024},
    "125m": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072},
    "350m": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "ffn_dim": 4096},
}


def opt_config(size: str, vocab_size: int, context: int, **other: Any) -> OPTConfig:
    """Configuration of a decoder of one of `SIZES`.

    Args:
        size: its name.
        vocab_size: tokens.
        context: positions.
        other: fields of `OPTConfig` that shall differ.

    Raises:
        ConfigError: no such size.
    """
    if size not in SIZES:
        raise ConfigError(f"size {size!r}; there are: {', '.join(SIZES)}")
    shape = SIZES[size]
    return OPTConfig(
        vocab_size=vocab_size,
        max_position_embeddings=context,
        word_embed_proj_dim=shape["hidden_size"],
        do_layer_norm_before=True,
        **{**shape, **other},
    )


@dataclass
class DecoderOutput(ModelOutput):
    """What a decoder model returns.

    Attributes:
        loss: scalar, where labels were given.
        sums, counts: (classes,) of the targets, see `losses`; of this batch alone.
        logits: (b, l, vocabulary); left out where labels were given.
        past_key_values: the cache.
        last_hidden_state: (b, l, d).
    """

    loss: torch.Tensor | None = None
    sums: torch.Tensor | None = None
    counts: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    past_key_values: Any = None
    last_hidden_state: torch.Tensor | None = None


def document_mask(document_ids: torch.Tensor) -> torch.Tensor:
    """(b, l) -> (b, 1, l, l) bool: True where a position may look at an earlier one of its own document."""
    return (document_ids[:, :, None] == document_ids[:, None, :]).tril()[:, None]


def document_positions(document_ids: torch.Tensor) -> torch.Tensor:
    """(b, l) -> (b, l): 0, 1, 2, .. from the begin of each document."""
    index = torch.arange(document_ids.shape[1], device=document_ids.device).expand_as(document_ids)
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return index - torch.where(begins, index, 0).cummax(dim=1).values


def decode(model: Any, input_ids: torch.Tensor, document_ids: torch.Tensor | None, **other: Any) -> Any:
    """Run OPT's decoder; rows that are one document each keep the fast path without a mask."""
    if document_ids is not None:
        other["position_ids"] = document_positions(document_ids)
        mask = document_mask(document_ids)
        if model.config._attn_implementation == "eager":  # which adds its mask
            lowest = torch.finfo(model.dtype).min
            mask = torch.where(mask, 0.0, lowest).to(model.dtype)
        other["attention_mask"] = mask
    return model(input_ids, **other)


def target_losses(
    hidden: torch.Tensor, targets: torch.Tensor, embedding: torch.Tensor, token_class: torch.Tensor, classes: int
) -> ClassLosses:
    """Losses by class; logits are made at the positions that have a target and nowhere else.

    Args:
        hidden: (b, l, d) last hidden states.
        targets: (b, l - 1) as of `losses.next_tokens`.
        embedding: (vocabulary, d), the tied output layer.
        token_class: (vocabulary,) class of each token.
        classes: how many there are.
    """
    chosen = targets != IGNORE
    return class_losses(hidden[:, :-1][chosen] @ embedding.T, targets[chosen], token_class, classes)
