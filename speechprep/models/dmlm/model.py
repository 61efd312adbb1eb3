"""DMLM: OPT's decoder with rows for speech and image codes, and the length-normalised loss over three modalities.

    L = l_S CE_S / n_S + l_T CE_T / n_T + l_I CE_I / n_I        (arXiv 2406.06582; l = .25, .93, .25)

CE_m is the sum of -log p over the targets of modality m, n_m their number over all batches and ranks of an update. So
a thousand speech codes of an utterance weigh no more than the forty pieces of its transcript.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationMixin, OPTModel, PreTrainedModel

from speechprep.models.decoder import DecoderOutput, decode, target_losses
from speechprep.models.dmlm.config import CLASSES, DELIMITERS, DmlmConfig
from speechprep.models.losses import IGNORE, class_counts, combine, next_tokens


class DmlmForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """See the module's text. `classes` are the kinds of token that losses are told apart by."""

    config_class = DmlmConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["OPTDecoderLayer"]  # noqa: RUF012 - as the library has it
    classes = CLASSES

    token_class: torch.Tensor

    def __init__(self, config: DmlmConfig) -> None:
        super().__init__(config)
        config.decoder._attn_implementation = config._attn_implementation
        self.model = OPTModel(config.decoder)
        self.register_buffer("token_class", token_classes(config))
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing here is ours: OPT's own modules set themselves up."""

    def get_input_embeddings(self) -> torch.nn.Module:
        """The embedding, which is the output layer too."""
        found: torch.nn.Module = self.model.get_input_embeddings()
        return found

    def targets(self, labels: torch.Tensor, document_ids: torch.Tensor | None) -> torch.Tensor:
        """(b, l - 1) targets; tokens of a task, and delimiters where the configuration says so, are none."""
        found = next_tokens(labels, document_ids)
        kind = self.token_class[found.clamp_min(0)]
        return torch.where(kind == CLASSES.index("task"), IGNORE, found)

    def target_counts(self, labels: torch.Tensor, document_ids: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        """(classes,) targets of a batch by class: what `forward` will be told in `counts`."""
        return class_counts(self.targets(labels, document_ids), self.token_class, len(self.classes))

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
        found = target_losses(
            hidden, self.targets(labels, document_ids), embedding, self.token_class, len(self.classes)
        )
        whole = found.counts if counts is None else counts
        trimodal = self.config.loss == "trimodal"
        weights = [*self.config.lambdas, 0.0] if trimodal else [1.0, 1.0, 1.0, 0.0]
        loss = combine(found.sums, whole, weights, by_class=trimodal)
        return DecoderOutput(loss=loss, sums=found.sums.detach(), counts=found.counts, last_hidden_state=hidden)


def token_classes(config: DmlmConfig) -> torch.Tensor:
    """(vocabulary,) int64: index in `CLASSES` of each token. What is no target is of the class "task"."""
    codes = torch.full((config.vocab_size,), CLASSES.index("task"), dtype=torch.int64)
    for name in ("speech", "text", "image"):
        start, stop = config.ranges[name]
        codes[start:stop] = CLASSES.index(name)
    if config.delimiters == "text":
        for name in (*DELIMITERS, "</s>"):
            if name in config.special:
                codes[config.token(name)] = CLASSES.index("text")
    return codes
