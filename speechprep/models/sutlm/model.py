"""SUTLM: OPT's decoder over one vocabulary of units and text, trained on the next token, whatever its modality.

    L = sum over all targets of -log p(x_t | x_<t) / their number        (arXiv 2310.08715)

Tokens of units, text and modality switches weigh alike in it. They are reported one by one, for what comes after a
switch is well determined and the switch itself is not.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationMixin, OPTModel, PreTrainedModel

from speechprep.models.decoder import DecoderOutput, decode, target_losses
from speechprep.models.losses import class_counts, combine, next_tokens
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.tokenizers.vocabulary import MODALITIES


class SutlmForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """See the module's text. `classes` are the kinds of token that losses are told apart by."""

    config_class = SutlmConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["OPTDecoderLayer"]  # noqa: RUF012 - as the library has it
    classes = tuple(MODALITIES)

    token_class: torch.Tensor

    def __init__(self, config: SutlmConfig) -> None:
        super().__init__(config)
        config.decoder._attn_implementation = config._attn_implementation
        self.model = OPTModel(config.decoder)
        codes = torch.zeros(config.vocab_size, dtype=torch.int64)
        for name, (start, stop) in config.ranges.items():
            codes[start:stop] = MODALITIES[name]
        codes[list(config.markers.values())] = MODALITIES["switch"]
        self.register_buffer("token_class", codes)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing here is ours: OPT's own modules set themselves up."""

    def get_input_embeddings(self) -> torch.nn.Module:
        """The embedding, which is the output layer too."""
        found: torch.nn.Module = self.model.get_input_embeddings()
        return found

    def target_counts(self, labels: torch.Tensor, document_ids: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        """(classes,) targets of a batch by class: what `forward` will be told in `counts`."""
        return class_counts(next_tokens(labels, document_ids), self.token_class, len(self.classes))

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
            counts: (classes,) targets of the whole update that this batch is a part of; its own if not given.
            attention_mask, position_ids: as in transformers, for generation.
            other: passed on to OPT's decoder: past_key_values, use_cache, ..
        """
        if document_ids is None:
            other |= {"attention_mask": attention_mask, "position_ids": position_ids}
        if labels is not None:
            other["use_cache"] = False
        out = decode(self.model, input_ids, document_ids, **other)
        hidden, embedding = out.last_hidden_state, self.get_input_embeddings().weight
        if labels is None:
            return DecoderOutput(
                logits=hidden @ embedding.T, past_key_values=out.past_key_values, last_hidden_state=hidden
            )
        found = target_losses(hidden, next_tokens(labels, document_ids), embedding, self.token_class, len(self.classes))
        whole = found.counts if counts is None else counts
        loss = combine(found.sums, whole, [1.0] * len(self.classes), by_class=False)
        return DecoderOutput(loss=loss, sums=found.sums.detach(), counts=found.counts, last_hidden_state=hidden)
