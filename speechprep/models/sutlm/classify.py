"""SUTLM classifier for SLUE-SA: a linear layer on the hidden state of the last token (arXiv 2310.08715)."""

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
    """Classifier on the SUTLM decoder. `config.labels` names its outputs."""

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
        """Initialise the head; `OPTModel` initialises its own modules."""
        if isinstance(module, torch.nn.Linear) and module is self.head:
            module.weight.data.normal_(0.0, self.config.decoder.init_std)
            module.bias.data.zero_()

    @classmethod
    def from_sutlm(cls, trained: SutlmForCausalLM, labels: list[str]) -> SutlmForSequenceClassification:
        """A classifier with the decoder of a trained SUTLM and a new head for `labels`."""
        classifier = cls(SutlmConfig(**{**trained.config.to_dict(), "labels": labels}))
        classifier.model.load_state_dict(trained.model.state_dict())
        return classifier

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """One term: the mean cross-entropy over sequences."""
        return (LossTerm("label", unit="items"),)

    def target_counts(self, labels: torch.Tensor, **_: Any) -> torch.Tensor:
        """(1,) number of sequences of a batch."""
        return torch.tensor([len(labels)], device=labels.device)

    def forward(
        self,
        input_ids: torch.Tensor,
        lengths: torch.Tensor,
        labels: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
    ) -> ModelOutput:
        """Logits (b, labels), and with `labels` the mean cross-entropy.

        Args:
            input_ids: (b, l) tokens, padded on the right; causal attention does not reach the padding.
            lengths: (b,) number of tokens of each row.
            labels: (b,) indices of labels.
            counts: (1,) number of sequences of the whole update; default: of this batch.
        """
        hidden = self.model(input_ids, use_cache=False).last_hidden_state
        logits = self.head(hidden[torch.arange(len(lengths), device=lengths.device), lengths - 1])
        if labels is None:
            return DecoderOutput(logits=logits)
        total = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")[None]
        batch_counts = self.target_counts(labels)
        loss = combine(self.loss_terms(), total, batch_counts if counts is None else counts)
        return DecoderOutput(loss=loss, sums=total.detach(), counts=batch_counts, logits=logits)
