"""BERT with one loss term: the mean of -log p over the masked pieces (arXiv 1810.04805)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.models.decoder import DecoderOutput
from speechprep.models.encoder.shapes import masked_loss
from speechprep.models.losses import IGNORE, LossTerm, combine


class Bert(PreTrainedModel):
    """`BertForMaskedLM` with the methods of the trainer.

    Args:
        config: its configuration.
        start: trained model with the initial weights; None: random weights.
    """

    config_class = BertConfig
    _supports_sdpa = True
    _tied_weights_keys = ["lm.cls.predictions.decoder.weight", "lm.cls.predictions.decoder.bias"]  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, config: BertConfig, start: BertForMaskedLM | None = None) -> None:
        super().__init__(config)
        self.lm = BertForMaskedLM(config) if start is None else start

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing to initialise: `BertForMaskedLM` and torch initialise their own modules."""

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """One term: MLM."""
        return (LossTerm("mlm"),)

    def target_counts(self, labels: torch.Tensor, **_: Any) -> torch.Tensor:
        """(1,) number of masked pieces of a batch."""
        return (labels != IGNORE).sum()[None]

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor,
        counts: torch.Tensor | None = None,
    ) -> ModelOutput:
        """The loss; arguments as in `encoder.batches.MaskedBatches`, `counts` as in `losses.combine`."""
        hidden = self.lm.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        sums, batch_counts = masked_loss(self.lm, hidden, labels)[None], self.target_counts(labels)
        loss = combine(self.loss_terms(), sums, batch_counts if counts is None else counts)
        return DecoderOutput(loss=loss, sums=sums.detach(), counts=batch_counts)

    def export(self, out: Path) -> None:
        """Write the model as a plain `BertForMaskedLM`."""
        self.lm.save_pretrained(out)
