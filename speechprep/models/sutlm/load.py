"""A trained SUTLM and its vocabulary, from its folder."""

from __future__ import annotations

from pathlib import Path

import torch

from speechprep.artifacts import manifest
from speechprep.errors import StaleArtifact
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.models.sutlm.model import SutlmForCausalLM
from speechprep.tokenizers.subword.vocabulary import Vocabulary


def load_config(folder: str) -> tuple[SutlmConfig, Vocabulary]:
    """Configuration and vocabulary of a trained or fine-tuned SUTLM.

    Raises:
        StaleArtifact: there is none in the folder, or the vocabulary beside it is another.
    """
    if not (Path(folder) / "subword").is_dir():
        raise StaleArtifact(f"{folder} holds no trained SUTLM; finish 'speechprep train sutlm --out {folder}'")
    config: SutlmConfig = SutlmConfig.from_pretrained(folder)
    vocab, made = Vocabulary.load(Path(folder) / "subword"), manifest.read(f"{folder}/subword")
    if (config.vocab_size, config.vocabulary) != (vocab.size, made.content):
        raise StaleArtifact(
            f"{folder}: the model has {config.vocab_size} tokens of vocabulary {config.vocabulary[:12]}, "
            f"the vocabulary beside it {vocab.size} of {made.content[:12]}; train it again"
        )
    return config, vocab


def load_model(folder: str, *, dropout: float | None = None) -> tuple[SutlmForCausalLM, Vocabulary]:
    """The model, on a GPU where there is one, and its vocabulary; with another dropout, where it is to be trained on.

    Raises:
        StaleArtifact: see `load_config`.
    """
    config, vocab = load_config(folder)
    if dropout is not None:
        config.decoder.dropout = dropout
    model = SutlmForCausalLM.from_pretrained(folder, config=config).eval()
    return model.to(device()), vocab


def device() -> str:
    """Where models are asked: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
