"""The bigram model: two loss terms, trained by the loop of the zoo."""

from __future__ import annotations

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.artifacts.run import open_run
from speechprep.models.losses import LossTerm, combine
from speechprep.models.training.run import TrainingJob


class BigramConfig(PretrainedConfig):
    """Vocabulary and width."""

    model_type = "acme-bigram"

    def __init__(self, vocab_size: int = 16, width: int = 8, **other) -> None:
        self.vocab_size, self.width = vocab_size, width
        super().__init__(**other)


class Bigram(PreTrainedModel):
    """Logits of the next token from the embedding of the present one, with a penalty on large embeddings."""

    config_class = BigramConfig

    def __init__(self, config: BigramConfig) -> None:
        super().__init__(config)
        self.embedding = torch.nn.Embedding(config.vocab_size, config.width)
        self.head = torch.nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def _init_weights(self, module) -> None:
        """torch's batch_counts."""

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """Two terms: one of tokens, one of rows."""
        return (LossTerm("next_token"), LossTerm("size", 0.01, unit="items"))

    def target_counts(self, input_ids, **_):
        """(2,) number of tokens and of rows."""
        return torch.tensor([input_ids[:, 1:].numel(), len(input_ids)], device=input_ids.device)

    def forward(self, input_ids, counts=None):
        """Loss of a batch (b, l)."""
        hidden = self.embedding(input_ids)
        logits = self.head(hidden[:, :-1]).flatten(0, 1)
        batch_counts = self.target_counts(input_ids)
        sums = torch.stack([
            torch.nn.functional.cross_entropy(logits, input_ids[:, 1:].flatten(), reduction="sum"),
            hidden.square().mean(dim=(1, 2)).sum(),
        ])  # fmt: skip
        loss = combine(self.loss_terms(), sums, batch_counts if counts is None else counts)
        return ModelOutput(loss=loss, sums=sums.detach(), counts=batch_counts)


class Rows:
    """Endless batches of rows of 8 tokens."""

    def __init__(self, rows: torch.Tensor, size: int) -> None:
        self.rows, self.size, self.place = rows, size, 0

    def __iter__(self):
        while True:
            at = torch.arange(self.place, self.place + self.size) % len(self.rows)
            self.place += self.size
            yield {"input_ids": self.rows[at]}

    def state(self):
        """The position."""
        return {"place": self.place}

    def restore(self, state) -> None:
        """Resume from a position."""
        self.place = state["place"]


def job(data, options) -> TrainingJob:
    """Rows of 8 tokens from the `tokens` of runs."""
    ids = [row["input_ids"] for run in data for row in open_run(run)["tokens"].records(["input_ids"])]
    rows = torch.tensor([row[:8] for row in ids if len(row) >= 8])
    return TrainingJob(
        model=lambda: Bigram(BigramConfig(int(rows.max()) + 1, options.width)),
        batches=lambda rank, world: Rows(rows, options.rows),
        validation=lambda rank, world: [],
        row_tokens=8,
        facts={"model": "acme-bigram"},
        finish=lambda out: None,
    )
