"""SUTLM as a classifier: a linear layer on the last token's hidden state (SLUE-SA; SUTLM, arXiv 2310.08715)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import OPTModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.models.decoder import DecoderOutput
from speechprep.models.losses import LossTerm, combine
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.models.sutlm.model import SutlmForCausalLM


class SutlmForSequenceClassification(PreTrainedModel):
    """See the module's text. The configuration's `labels` name the outputs."""

    config_class = SutlmConfig
    base_model_prefix = "model"
    _supports_sdpa = True

    def __init__(self, config: SutlmConfig) -> None:
        super().__init__(config)
        config.decoder._attn_implementation = config._attn_implementation
        self.model = OPTModel(config.decoder)
        self.head = torch.nn.Linear(config.decoder.word_embed_proj_dim, len(config.labels))
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """The head; OPT's own modules set themselves up."""
        if isinstance(module, torch.nn.Linear) and module is self.head:
            module.weight.data.normal_(0.0, self.config.decoder.init_std)
            module.bias.data.zero_()

    @classmethod
    def from_sutlm(cls, trained: SutlmForCausalLM, labels: list[str]) -> SutlmForSequenceClassification:
        """With the decoder of a trained SUTLM, and a new head for these labels."""
        config = SutlmConfig(**{**trained.config.to_dict(), "labels": labels})
        made = cls(config)
        made.model.load_state_dict(trained.model.state_dict())
        return made

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """The mean over sequences."""
        return (LossTerm("label"),)

    def target_counts(self, labels: torch.Tensor, **_: Any) -> torch.Tensor:
        """(1,) sequences of a batch."""
        return torch.tensor([len(labels)], device=labels.device)

    def forward(
        self,
        input_ids: torch.Tensor,
        lengths: torch.Tensor,
        labels: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
    ) -> ModelOutput:
        """Logits (b, labels), and the mean cross-entropy where labels are given.

        Args:
            input_ids: (b, l) tokens, padded on the right, where causal attention sees nothing of it.
            lengths: (b,) tokens of each row.
            labels: (b,) numbers of labels.
            counts: (1,) sequences of the whole update; its own if not given.
        """
        hidden = self.model(input_ids, use_cache=False).last_hidden_state
        logits = self.head(hidden[torch.arange(len(lengths), device=lengths.device), lengths - 1])
        if labels is None:
            return DecoderOutput(logits=logits)
        total = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")[None]
        own = self.target_counts(labels)
        loss = combine(self.loss_terms(), total, own if counts is None else counts)
        return DecoderOutput(loss=loss, sums=total.detach(), counts=own, logits=logits)
