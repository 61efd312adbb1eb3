"""Common base of the decoder models: packed rows through OPT's decoder, and the losses of their targets.

The decoder is transformers' `OPTModel` as it is: pre-layer-norm, learned positions, KV cache, SDPA. Packed rows need
two arguments: a mask with attention inside of each document only, and positions counted from the start of each
document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationMixin, OPTConfig, OPTModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.errors import ConfigError
from speechprep.models.losses import IGNORE, ClassLosses, LossTerm, class_counts, class_losses, combine, next_tokens

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
        other: further fields of `OPTConfig`.

    Raises:
        ConfigError: unknown size.
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
    """Output of a decoder model.

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


def document_mask(document_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive attention mask of packed documents: (b, l) -> (b, 1, l, l).

    0 where a position attends to itself or to an earlier position of its document, else the lowest value of `dtype`.
    OPT takes no boolean mask on CUDA: with SDPA, `AttentionMaskConverter._unmask_unattended` raises an error. Padding
    attends to padding, so no row is masked as a whole.
    """
    allowed = (document_ids[:, :, None] == document_ids[:, None, :]).tril()[:, None]
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


def document_positions(document_ids: torch.Tensor) -> torch.Tensor:
    """(b, l) -> (b, l): 0, 1, 2, .. from the begin of each document."""
    index = torch.arange(document_ids.shape[1], device=document_ids.device).expand_as(document_ids)
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return index - torch.where(begins, index, 0).cummax(dim=1).values


def decode(
    model: Any,
    input_ids: torch.Tensor,
    document_ids: torch.Tensor | None,
    position_ids: torch.Tensor | None = None,
    **other: Any,
) -> Any:
    """Run OPT's decoder; rows of one document each take the fast path without a mask."""
    if document_ids is not None:
        position_ids = document_positions(document_ids) if position_ids is None else position_ids
        other["attention_mask"] = document_mask(document_ids, model.dtype)
    return model(input_ids, position_ids=position_ids, **other)


def target_losses(
    hidden: torch.Tensor, targets: torch.Tensor, embedding: torch.Tensor, token_class: torch.Tensor, classes: int
) -> ClassLosses:
    """Losses by class; logits are computed at the positions with a target only.

    Args:
        hidden: (b, l, d) last hidden states.
        targets: (b, l - 1) as of `losses.next_tokens`.
        embedding: (vocabulary, d), the tied output layer.
        token_class: (vocabulary,) class of each token.
        classes: how many there are.
    """
    chosen = targets != IGNORE
    return class_losses(hidden[:, :-1][chosen] @ embedding.T, targets[chosen], token_class, classes)


class DecoderLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """OPT's decoder with a tied output layer, and one loss term for each class of tokens.

    A model defines `config_class`, `loss_terms`, and in `targets` the tokens without a loss.

    Args:
        config: of the model, with OPT's own in `decoder`.
        token_class: (vocabulary,) int64, index in `loss_terms` of each token.
    """

    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["OPTDecoderLayer"]  # noqa: RUF012 - as the library has it

    token_class: torch.Tensor

    def __init__(self, config: Any, token_class: torch.Tensor) -> None:
        super().__init__(config)
        config.decoder._attn_implementation = config._attn_implementation
        self.model = OPTModel(config.decoder)
        self.register_buffer("token_class", token_class)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing here is ours: OPT's own modules set themselves up."""

    def get_input_embeddings(self) -> torch.nn.Module:
        """The embedding, tied to the output layer."""
        found: torch.nn.Module = self.model.get_input_embeddings()
        return found

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """One term for each class of tokens."""
        raise NotImplementedError

    def targets(self, labels: torch.Tensor, document_ids: torch.Tensor | None) -> torch.Tensor:
        """(b, l - 1) targets, `losses.IGNORE` where there is none."""
        return next_tokens(labels, document_ids)

    def target_counts(self, labels: torch.Tensor, document_ids: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        """(classes,) targets of a batch by class, for the argument `counts` of `forward`."""
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
            document_ids: (b, l) 0, 0, .. 1, 1, .., -1 on padding: nothing sees or predicts beyond its document.
            labels: (b, l) as `input_ids`, -100 where a token is no target.
            counts: (classes,) targets of the whole update with this batch; default: the targets of this batch.
            attention_mask: as in transformers, for generation; not read where there are document ids.
            position_ids: (b, l) place of each token in its document; made of `document_ids` where they are not given.
            other: passed on to OPT's decoder: past_key_values, use_cache, ..
        """
        if document_ids is None:
            other["attention_mask"] = attention_mask
        if labels is not None:
            other["use_cache"] = False
        out = decode(self.model, input_ids, document_ids, position_ids, **other)
        hidden, embedding = out.last_hidden_state, self.get_input_embeddings().weight
        if labels is None:
            return DecoderOutput(
                logits=hidden @ embedding.T, past_key_values=out.past_key_values, last_hidden_state=hidden
            )
        targets = self.targets(labels, document_ids)
        found = target_losses(hidden, targets, embedding, self.token_class, len(self.loss_terms()))
        loss = combine(self.loss_terms(), found.sums, found.counts if counts is None else counts)
        return DecoderOutput(loss=loss, sums=found.sums.detach(), counts=found.counts, last_hidden_state=hidden)
