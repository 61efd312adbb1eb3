"""Base class of the decoder models: transformers' OPT decoder on packed rows, with a loss term for each token class.

The decoder is an unchanged `OPTModel`: pre-layer-norm, learned positions, KV cache, SDPA. Packed rows need a mask that
limits attention to each document, and positions counted from the start of each document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationMixin, OPTConfig, OPTModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.errors import ConfigError
from speechprep.models import attention
from speechprep.models.losses import LossTerm, class_counts, combine, next_tokens, target_losses

# 125m is the shape of OPT-125M. 350m is that of OPT-350M, but with pre-layer-norm and without a projection.
SIZES = {
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 128},
    "mini": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "ffn_dim": 1024},
    "125m": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072},
    "350m": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "ffn_dim": 4096},
}


def opt_config(size: str, vocab_size: int, context: int, **other: Any) -> OPTConfig:
    """Configuration of a decoder with one of `SIZES`.

    Args:
        size: name of the size.
        vocab_size: number of tokens of the vocabulary.
        context: number of positions.
        other: further fields of `OPTConfig`.

    Raises:
        ConfigError: unknown size.
    """
    if size not in SIZES:
        raise ConfigError(f"size {size!r} is unknown; set one of {', '.join(SIZES)}")
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
    """Output of a decoder model.

    Attributes:
        loss: scalar; None without labels.
        sums, counts: (terms,) sums and counts of the loss terms in this batch, see `losses`.
        logits: (b, l, vocabulary); None with labels.
        past_key_values: the KV cache.
        last_hidden_state: (b, l, d).
    """

    loss: torch.Tensor | None = None
    sums: torch.Tensor | None = None
    counts: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    past_key_values: Any = None
    last_hidden_state: torch.Tensor | None = None


def document_positions(document_ids: torch.Tensor) -> torch.Tensor:
    """Positions (b, l) from document ids (b, l): 0, 1, 2, .. in each document."""
    index = torch.arange(document_ids.shape[1], device=document_ids.device).expand_as(document_ids)
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return index - torch.where(begins, index, 0).cummax(dim=1).values


def decode(
    model: Any,
    input_ids: torch.Tensor,
    document_ids: torch.Tensor | None,
    position_ids: torch.Tensor | None = None,
    kernel: str = "auto",
    **other: Any,
) -> Any:
    """Run the OPT decoder. Without document ids it uses the fast path without a mask. `kernel`: see `attention`."""
    if document_ids is not None:
        position_ids = document_positions(document_ids) if position_ids is None else position_ids
        other |= attention.arguments(document_ids, model.config, kernel, model.dtype)
    return model(input_ids, position_ids=position_ids, **other)


class DecoderLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """OPT decoder with a tied output layer, and one loss term for each token class.

    A subclass defines `config_class` and `loss_terms`. It may override `targets` to exclude tokens from the loss.

    Args:
        config: configuration of the model, with an `OPTConfig` in `decoder`.
        token_class: (vocabulary,) int64 index in `loss_terms` of each token.
    """

    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["OPTDecoderLayer"]  # noqa: RUF012 - the signature of transformers

    token_class: torch.Tensor
    attention = "auto"  # kernel of the attention inside documents, see `models.attention`

    def __init__(self, config: Any, token_class: torch.Tensor) -> None:
        super().__init__(config)
        config.decoder._attn_implementation = config._attn_implementation
        self.model = OPTModel(config.decoder)
        attention.install(self.model, config.decoder)
        self.register_buffer("token_class", token_class)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing to initialise: `OPTModel` initialises its own modules."""

    def get_input_embeddings(self) -> torch.nn.Module:
        """The embedding, tied to the output layer."""
        embedding: torch.nn.Module = self.model.get_input_embeddings()
        return embedding

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """One term for each token class."""
        raise NotImplementedError

    def targets(self, labels: torch.Tensor, document_ids: torch.Tensor | None) -> torch.Tensor:
        """(b, l - 1) targets, `losses.IGNORE` at positions without a target."""
        return next_tokens(labels, document_ids)

    def target_counts(self, labels: torch.Tensor, document_ids: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        """(terms,) number of targets of a batch for each term, for the argument `counts` of `forward`."""
        return class_counts(self.targets(labels, document_ids), self.token_class, len(self.loss_terms()))

    def forward(
        self,
        input_ids: torch.Tensor,
        document_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        **other: Any,
    ) -> DecoderOutput:
        """Next-token logits, or the loss.

        Args:
            input_ids: (b, l) tokens.
            document_ids: (b, l) 0, 0, .. 1, 1, .., -1 on padding. Attention and prediction stay inside a document.
            labels: (b, l) token ids as in `input_ids`, -100 for tokens without a loss.
            counts: (terms,) counts of the whole update; default: the counts of this batch.
            attention_mask: mask of transformers for generation; ignored if `document_ids` is set.
            position_ids: (b, l) position of each token in its document; default: computed from `document_ids`.
            other: further arguments of the OPT decoder: past_key_values, use_cache, ..
        """
        if document_ids is None:
            other["attention_mask"] = attention_mask
        if labels is not None:
            other["use_cache"] = False
        out = decode(self.model, input_ids, document_ids, position_ids, self.attention, **other)
        hidden, embedding = out.last_hidden_state, self.get_input_embeddings().weight
        if labels is None:
            return DecoderOutput(
                logits=hidden @ embedding.T, past_key_values=out.past_key_values, last_hidden_state=hidden
            )
        targets = self.targets(labels, document_ids)
        losses = target_losses(hidden, targets, embedding, self.token_class, len(self.loss_terms()))
        loss = combine(self.loss_terms(), losses.sums, losses.counts if counts is None else counts)
        return DecoderOutput(loss=loss, sums=losses.sums.detach(), counts=losses.counts, last_hidden_state=hidden)
