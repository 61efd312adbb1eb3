"""DMLM: OPT decoder with embedding rows for speech and image codes, and the length-normalised loss.

    L = l_S CE_S / n_S + l_T CE_T / n_T + l_I CE_I / n_I        (arXiv 2406.06582; l = .25, .93, .25)

CE_m is the sum of -log p over the targets of modality m, n_m their number over all batches and ranks of an update. The
weight of a modality is therefore independent of the lengths of its sequences.
"""

from __future__ import annotations

import torch

from speechprep.models.decoder import DecoderLM
from speechprep.models.dmlm.config import CLASSES, DELIMITERS, DmlmConfig
from speechprep.models.losses import IGNORE, LossTerm


class DmlmForCausalLM(DecoderLM):
    """Decoder over text, speech codes and image codes, with a loss term for each modality."""

    config_class = DmlmConfig

    def __init__(self, config: DmlmConfig) -> None:
        super().__init__(config, token_classes(config))

    def targets(self, labels: torch.Tensor, document_ids: torch.Tensor | None) -> torch.Tensor:
        """(b, l - 1) targets, without task tokens, and without delimiters if the configuration excludes them."""
        targets = super().targets(labels, document_ids)
        classes = self.token_class[targets.clamp_min(0)]
        return torch.where(classes == CLASSES.index("task"), IGNORE, targets)

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """trimodal: a term for each modality, weighted by its lambda. plain: the same terms with one denominator."""
        if self.config.loss == "trimodal":
            return tuple(map(LossTerm, CLASSES, (*self.config.lambdas, 0.0)))
        return (*(LossTerm(name, group="tokens") for name in CLASSES[:-1]), LossTerm(CLASSES[-1], 0.0))


def token_classes(config: DmlmConfig) -> torch.Tensor:
    """(vocabulary,) int64 index in `CLASSES` of each token. Tokens without a loss have the class "task"."""

    codes = torch.full((config.vocab_size,), CLASSES.index("task"), dtype=torch.int64)
    for name in ("speech", "text", "image"):
        start, stop = config.ranges[name]
        codes[start:stop] = CLASSES.index(name)
    if config.delimiters == "exclude":
        codes[config.eos_token_id] = CLASSES.index("task")  # </s> of OPT is an id of the text
    else:
        for name in (*DELIMITERS, "</s>"):
            if name in config.special:
                codes[config.token(name)] = CLASSES.index("text")
    return codes
