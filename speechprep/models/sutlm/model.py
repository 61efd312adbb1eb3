"""SUTLM: OPT decoder over one vocabulary of units and text, trained on next-token prediction.

    L = sum over all targets of -log p(x_t | x_<t) / their number        (arXiv 2310.08715)

Unit, text and switch tokens have equal weight. Their losses are reported separately, because a switch token is much
harder to predict than the tokens after it.
"""

from __future__ import annotations

import torch

from speechprep.models.decoder import DecoderLM
from speechprep.models.losses import LossTerm
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.tokenizers.subword.vocabulary import MODALITIES


class SutlmForCausalLM(DecoderLM):
    """Decoder over units and text, with a loss term for each modality."""

    config_class = SutlmConfig

    def __init__(self, config: SutlmConfig) -> None:
        super().__init__(config, token_classes(config))

    def loss_terms(self) -> tuple[LossTerm, ...]:
        """One term for each modality, with one denominator: the mean over all targets."""
        return tuple(LossTerm(name, group="tokens") for name in MODALITIES)


def token_classes(config: SutlmConfig) -> torch.Tensor:
    """(vocabulary,) int64 modality of each token, a code of `MODALITIES`."""
    codes = torch.zeros(config.vocab_size, dtype=torch.int64)
    for name, (start, stop) in config.ranges.items():
        codes[start:stop] = MODALITIES[name]
    codes[list(config.markers.values())] = MODALITIES["switch"]
    return codes
