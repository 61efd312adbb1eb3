"""BERT with a classifier of transformers, and the methods of the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel
from transformers.utils.generic import ModelOutput

from speechprep.models.decoder import DecoderOutput
from speechprep.models.devices import device
from speechprep.models.encoder.batches import padded
from speechprep.models.encoder.shapes import load_bert
from speechprep.models.losses import LossTerm, combine
from speechprep.tokenizers.wordpiece.tokenizer import WordPiece

Kind = Literal["classes", "number", "flags"]
PROBLEM = {"classes": "single_label_classification", "number": "regression", "flags": "multi_label_classification"}
TERM = "label"


class TextClassifier(PreTrainedModel):
    """`BertForSequenceClassification`: a linear layer on the pooled state of [CLS].

    The loss of a text is the cross-entropy of its class (`classes`), the absolute error of its number (`number`), or
    the mean binary cross-entropy of its flags (`flags`).

    Args:
        config: configuration with `problem_type` and the number of outputs.
        classifier: the model; None: random weights.
    """

    config_class = BertConfig
    _supports_sdpa = True

    def __init__(self, config: BertConfig, classifier: BertForSequenceClassification | None = None) -> None:
        super().__init__(config)
        self.classifier = BertForSequenceClassification(config) if classifier is None else classifier

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing to initialise: `BertForSequenceClassification` initialises its own modules."""

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """One term: the mean loss over texts."""
        return (LossTerm(TERM, unit="items"),)

    def target_counts(self, labels: torch.Tensor, **_: Any) -> torch.Tensor:
        """(1,) number of texts of a batch."""
        return torch.tensor([len(labels)], device=labels.device)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
        counts: torch.Tensor | None = None,
    ) -> ModelOutput:
        """Logits (b, outputs), and with `labels` the loss.

        Args:
            input_ids, attention_mask: (b, l), see `encoder.batches.padded`.
            labels: (b,) indices of classes or numbers, or (b, outputs) flags of 0 and 1.
            counts: (1,) number of texts of the whole update; default: of this batch.
        """
        logits = self.classifier(input_ids=input_ids, attention_mask=attention_mask).logits.float()
        if labels is None:
            return DecoderOutput(logits=logits)
        kind = self.config.problem_type
        if kind == PROBLEM["classes"]:
            total = cross_entropy(logits, labels, reduction="sum")
        elif kind == PROBLEM["number"]:
            total = (logits[:, 0] - labels).abs().sum()
        else:
            total = binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1).sum()
        batch_counts = self.target_counts(labels)
        loss = combine(self.loss_terms(), total[None], batch_counts if counts is None else counts)
        return DecoderOutput(loss=loss, sums=total[None].detach(), counts=batch_counts, logits=logits)

    def export(self, out: Path) -> None:
        """Write the model as a plain `BertForSequenceClassification`."""
        self.classifier.save_pretrained(out)


def new_classifier(folder: str, kind: Kind, names: list[str], dropout: float) -> TextClassifier:
    """A classifier with the encoder of a BERT folder; pooler and linear layer are new.

    Args:
        folder: BERT folder, see `load_bert`.
        kind: see `TextClassifier`.
        names: name of each output.
        dropout: dropout probability of all layers.
    """
    start = load_bert(folder, dropout=dropout)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config = BertConfig(**{**start.config.to_dict(), **labels, "problem_type": PROBLEM[kind]})
    model = BertForSequenceClassification(config)
    model.bert.load_state_dict(start.bert.state_dict(), strict=False)  # a BERT for MLM has no pooler
    return TextClassifier(config, model)


def load_classifier(folder: str) -> TextClassifier:
    """A fine-tuned model, on a GPU if one is available."""
    model = BertForSequenceClassification.from_pretrained(folder, local_files_only=True)
    trained: TextClassifier = TextClassifier(model.config, model).eval().to(device())
    return trained


Example = tuple[NDArray[np.int64], Any]  # pieces of a text, and its label


def collate(examples: list[Example], tokenizer: WordPiece) -> dict[str, torch.Tensor]:
    """A padded batch of texts with their labels."""
    labels = torch.from_numpy(np.array([label for _, label in examples]))
    return {**padded([pieces for pieces, _ in examples], tokenizer), "labels": labels}


@torch.inference_mode()
def outputs(model: TextClassifier, texts: list[NDArray[np.int64]], tokenizer: WordPiece) -> NDArray[np.float64]:
    """(n, outputs) logits of texts, in batches of similar length."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    values = np.zeros((len(texts), model.config.num_labels))
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        batch = {name: value.to(model.device) for name, value in padded([texts[i] for i in part], tokenizer).items()}
        values[part] = model(**batch).logits.double().cpu().numpy()
    return values
