"""Small models with random weights, saved as the folders that the extractors read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CONVOLUTIONS = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, **CONVOLUTIONS}
LARGE_STYLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def torch() -> Any:
    """PyTorch, or the test is skipped."""
    pytest.importorskip("transformers")
    return pytest.importorskip("torch")


def speech_encoder(folder: Path, kind: str = "hubert", seed: int = 0, **config: Any) -> Path:
    """A HubertModel, Wav2Vec2Model or WavLMModel; group norm unless the configuration says otherwise."""
    torch().manual_seed(seed)
    import transformers

    name = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}[kind]
    made = getattr(transformers, f"{name}Config")(**{**SMALL, **config})
    model = getattr(transformers, f"{name}Model")(made)
    with torch().no_grad():  # of norms too, or they would hide which one was left out
        for parameter in model.parameters():
            parameter.add_(0.05 * torch().randn_like(parameter))
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def whisper(folder: Path, seed: int = 0) -> Path:
    """A WhisperForConditionalGeneration of three layers."""
    torch().manual_seed(seed)
    import transformers

    config = transformers.WhisperConfig(
        vocab_size=64, d_model=32, encoder_layers=3, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=3,
    )  # fmt: skip
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    return folder


def image_codebook(folder: Path, seed: int = 0, **config: Any) -> Path:
    """A small FlavaImageCodebook with random weights that give many different codes, with its processor."""
    torch().manual_seed(seed)
    from transformers import FlavaImageCodebook, FlavaImageCodebookConfig, FlavaImageProcessor

    made = FlavaImageCodebook(FlavaImageCodebookConfig(**{"hidden_size": 16, "vocab_size": 600, **config}))
    with torch().no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                torch().nn.init.kaiming_normal_(parameter)
        last = made.blocks.output.conv.weight
        last -= last.mean(dim=1, keepdim=True)  # else the code with the largest sum always wins
        last /= last.norm(dim=1, keepdim=True)
    made.save_pretrained(folder)
    FlavaImageProcessor(return_codebook_pixels=True).save_pretrained(folder)
    return folder
