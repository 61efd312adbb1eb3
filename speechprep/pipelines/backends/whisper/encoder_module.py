"""The Whisper encoder as a module of transformers, from weights in any form."""

from __future__ import annotations

from typing import Any

from speechprep.pipelines.backends.whisper.sizes import Sizes
from speechprep.pipelines.backends.whisper.weights import WhisperWeights


def encoder_config(sizes: Sizes) -> dict[str, Any]:
    """The values of `WhisperConfig` with an influence on the frames of the encoder."""
    return {
        "num_mel_bins": sizes.mels,
        "max_source_positions": sizes.positions,
        "d_model": sizes.width,
        "encoder_layers": sizes.encoder_layers,
        "encoder_attention_heads": sizes.encoder_heads,
        "encoder_ffn_dim": sizes.encoder_ffn,
        "activation_function": sizes.activation,
    }


def read_encoder(weights: WhisperWeights, layers: int) -> Any:
    """The first `layers` layers of the encoder in float32, in evaluation mode, on the CPU.

    Raises:
        ConfigError: a tensor is absent, unreadable or of another shape.
    """
    import torch
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    hf: Any = transformers
    config = hf.WhisperConfig(**{**encoder_config(weights.sizes), "encoder_layers": layers})
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        encoder: Any = WhisperEncoder(config)
    shapes = weights.shapes("encoder")
    state = {
        name: torch.from_numpy(weights.tensor(f"encoder.{name}", shapes[f"encoder.{name}"]).copy())
        for name in encoder.state_dict()
    }
    encoder.load_state_dict(state, assign=True)
    return encoder.eval().requires_grad_(requires_grad=False)
