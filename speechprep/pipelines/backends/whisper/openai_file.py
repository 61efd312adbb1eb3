"""A Whisper model in a `.pt` file of openai-whisper: a dictionary with `dims` and `model_state_dict`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from speechprep.errors import ConfigError
from speechprep.pipelines.backends.whisper.checkpoint import kind_of, numpy_of, read_checkpoint
from speechprep.pipelines.backends.whisper.sizes import Sizes
from speechprep.pipelines.backends.whisper.weights import F32, WhisperWeights, checked

STATE, DIMS = "model_state_dict", "dims"
RENAMED = (  # canonical -> openai-whisper, in this order
    ("encoder.embed_positions.weight", "encoder.positional_embedding"),
    ("decoder.embed_positions.weight", "decoder.positional_embedding"),
    ("decoder.embed_tokens", "decoder.token_embedding"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
    (".layers.", ".blocks."),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn.", "cross_attn."),
    ("self_attn.", "attn."),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
)


def name_in_openai(name: str) -> str:
    """The name of a tensor in openai-whisper, from its canonical name."""
    for ours, theirs in RENAMED:
        name = name.replace(ours, theirs)
    return name


def dims_of(sizes: Sizes) -> dict[str, int]:
    """`dims` of openai-whisper."""
    return {
        "n_mels": sizes.mels,
        "n_audio_ctx": sizes.positions,
        "n_audio_state": sizes.width,
        "n_audio_head": sizes.encoder_heads,
        "n_audio_layer": sizes.encoder_layers,
        "n_vocab": sizes.vocabulary,
        "n_text_ctx": sizes.text_positions,
        "n_text_state": sizes.width,
        "n_text_head": sizes.decoder_heads,
        "n_text_layer": sizes.decoder_layers,
    }


def fits_openai(sizes: Sizes) -> bool:
    """True if openai-whisper can run a model: GELU, and an inner width of four times the width."""
    inner = 4 * sizes.width
    return sizes.activation == "gelu" and sizes.encoder_ffn == sizes.decoder_ffn == inner


class OpenaiFile(WhisperWeights):
    """A `.pt` file. Reading it needs torch, and the tensors stay on the disk until their use."""

    form = "openai"

    @property
    def files(self) -> list[Path]:
        """The file."""
        return [self.path]

    @cached_property
    def _values(self) -> dict[str, Any]:
        values = read_checkpoint(self.path)
        if not isinstance(values.get(DIMS), dict) or not isinstance(values.get(STATE), dict):
            raise ConfigError(
                f"{self.path} is not a checkpoint of openai-whisper: it has no {DIMS} and {STATE}; give another file"
            )
        return values

    @cached_property
    def sizes(self) -> Sizes:
        """Sizes by `dims`; the shape of each tensor is compared with them when it is read."""
        dims = self._values[DIMS]
        width = dims.get("n_audio_state")
        if dims.get("n_text_state") != width or not isinstance(width, int):
            raise ConfigError(f"{self.path} is not a Whisper model: encoder and decoder have different widths")
        return checked(
            self.path,
            Sizes(
                mels=dims.get("n_mels"),
                positions=dims.get("n_audio_ctx"),
                width=width,
                encoder_layers=dims.get("n_audio_layer"),
                encoder_heads=dims.get("n_audio_head"),
                encoder_ffn=4 * width,
                decoder_layers=dims.get("n_text_layer"),
                decoder_heads=dims.get("n_text_head"),
                decoder_ffn=4 * width,
                text_positions=dims.get("n_text_ctx"),
                vocabulary=dims.get("n_vocab"),
            ),
        )

    def stored(self) -> tuple[str, ...]:
        """Number types of the tensors with two or more dimensions."""
        tensors = [value for value in self._values[STATE].values() if getattr(value, "ndim", 0) > 1]
        return tuple(sorted({kind_of(value) for value in tensors}))

    def _tensor(self, name: str) -> F32:
        value = self._values[STATE].get(name_in_openai(name))
        if not hasattr(value, "dtype"):
            raise ConfigError(f"{self.path} lacks the tensor {name_in_openai(name)}; get the file again")
        return numpy_of(value)
