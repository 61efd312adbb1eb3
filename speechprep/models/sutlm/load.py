"""Loading of a trained SUTLM and its vocabulary."""

from __future__ import annotations

from pathlib import Path

from speechprep.artifacts import manifest
from speechprep.errors import StaleArtifact
from speechprep.models.devices import device
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.models.sutlm.model import SutlmForCausalLM
from speechprep.tokenizers.subword.vocabulary import Vocabulary


def load_config(folder: str) -> tuple[SutlmConfig, Vocabulary]:
    """Configuration and vocabulary of a trained or fine-tuned SUTLM.

    Raises:
        StaleArtifact: the folder has no trained SUTLM, or its `subword` folder is another vocabulary.
    """
    if not (Path(folder) / "subword").is_dir():
        raise StaleArtifact(f"{folder} contains no trained SUTLM; finish 'speechprep train sutlm --out {folder}'")
    config: SutlmConfig = SutlmConfig.from_pretrained(folder)
    vocab, content = Vocabulary.load(Path(folder) / "subword"), manifest.read(f"{folder}/subword").content
    if (config.vocab_size, config.vocabulary) != (vocab.size, content):
        raise StaleArtifact(
            f"{folder}: the model has {config.vocab_size} tokens of vocabulary {config.vocabulary[:12]}, its subword "
            f"folder {vocab.size} tokens of {content[:12]}; restore the folder, or train the model again"
        )
    return config, vocab


def load_model(folder: str, *, dropout: float | None = None) -> tuple[SutlmForCausalLM, Vocabulary]:
    """A trained model and its vocabulary, on a GPU if one is available.

    Args:
        folder: folder of the trained model.
        dropout: dropout for further training; None keeps that of the model.

    Raises:
        StaleArtifact: see `load_config`.
    """
    config, vocab = load_config(folder)
    if dropout is not None:
        config.decoder.dropout = dropout
    model = SutlmForCausalLM.from_pretrained(folder, config=config).eval()
    return model.to(device()), vocab
