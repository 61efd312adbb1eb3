"""Extractor `hubert`: frames of a layer of HuBERT, wav2vec 2.0, XLS-R, mHuBERT or WavLM, from a transformers folder.

The frames of layer L are `hidden_states[L]` of the plain transformers model: the output of layer L, counted from 1,
after both residual sums. Layer 0 is the input of the first layer. In models with pre-normalisation (large, XLS-R) the
last layer includes the final LayerNorm. `final_norm: false` omits it, as `extract_features` of fairseq does. Layers
above L are neither read nor run. In fp32 on a CPU the frames are bit-identical to the plain model.

Audio is normalised to mean 0 and variance 1 over its true length if the model requires it. Padding in a batch does not
change the frames: see gemm_front.py, and attention ignores the padding. Audio longer than `window` seconds is cut into
overlapping windows (encoder_windows.py). Each is normalised and run separately, so memory stays bounded.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import MissingBackend
from speechprep.pipelines.backends.extractors.checkpoint import (
    check_layer,
    last_of,
    read_config,
    read_model,
    shape_digest,
)
from speechprep.pipelines.backends.extractors.encoder import EncoderExtractor, Shared
from speechprep.pipelines.backends.extractors.encoder_windows import EncoderWindows
from speechprep.pipelines.backends.extractors.fused_layers import FusedLayers
from speechprep.pipelines.backends.extractors.gemm_front import GemmFront, exact_front
from speechprep.pipelines.backends.extractors.prefetch import to_device, zeros
from speechprep.pipelines.backends.model_files import PREPROCESSOR, read_json

TYPES = ("hubert", "wav2vec2", "wavlm")
KERNELS, STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]  # defaults of transformers

F32 = NDArray[np.float32]


class HubertExtractor(EncoderExtractor):
    """Frames of a layer of a HuBERT-like encoder; further arguments in `EncoderExtractor`.

    Args:
        normalize: mean 0 and variance 1 over the utterance; None: as in `preprocessor_config.json` of the model.
        final_norm: apply the final LayerNorm at the last layer of a model with pre-normalisation.
        window: seconds of the longest audio without windows.
        overlap: seconds shared by two windows of longer audio.
    """

    name = "hubert"

    def __init__(
        self,
        model: str,
        layer: int,
        *,
        normalize: bool | None = None,
        final_norm: bool = True,
        window: float = 40.0,
        overlap: float = 4.0,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(model, layer, **shared)
        self.normalize, self.final_norm = normalize, final_norm
        self.window, self.overlap = window, overlap

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json` of the model, with a supported model type and the chosen layer."""
        config = read_config(self.label, self.folder, TYPES)
        check_layer(self.label, self.layer, int(config.get("num_hidden_layers", 12)))
        return config

    @cached_property
    def grid(self) -> FrameGrid:
        """Stride and receptive field of the convolutions: 320 and 400 samples in all published models."""
        stride, field = 1, 1
        for kernel, step in zip(*self._convolutions(), strict=True):
            field += (kernel - 1) * stride
            stride *= step
        return FrameGrid(self.sample_rate, stride, field)

    @cached_property
    def dim(self) -> int:
        """Values of a frame."""
        return int(self.config.get("hidden_size", 768))

    @cached_property
    def windows(self) -> EncoderWindows:
        """Windows of long audio."""
        return EncoderWindows(self.grid, self.window, self.overlap)

    def _convolutions(self) -> tuple[list[int], list[int]]:
        return self.config.get("conv_kernel", KERNELS), self.config.get("conv_stride", STRIDES)

    @cached_property
    def _normalizes(self) -> bool:
        if self.normalize is not None:
            return self.normalize
        if not (self.folder / PREPROCESSOR).exists():
            raise MissingBackend(
                f"{self.label}: the model folder {self.folder} lacks {PREPROCESSOR}, needed for the normalisation of "
                "the audio; copy the file there, or set normalize: true or false"
            )
        return bool(read_json(self.folder / PREPROCESSOR).get("do_normalize", True))

    def _identity(self) -> dict[str, Any]:
        layers = int(self.config.get("num_hidden_layers", 12))
        last = self.layer == layers and bool(self.config.get("do_stable_layer_norm", False))
        return {
            "model": f"{self.config['model_type']}-{layers}x{self.dim}",
            "config": shape_digest(self.config),
            "output": "hidden_states",  # after the residual sums
            "final_norm": self.final_norm and last,
            "normalize": self._normalizes,
        }

    def _read(self) -> Any:
        from torch.nn.utils import parametrize

        how = {} if self.config["model_type"] == "wavlm" else {"attn_implementation": "sdpa"}
        model = read_model(self.label, self.folder, {"num_hidden_layers": self.layer}, **how)
        place = model.encoder.pos_conv_embed.conv
        if parametrize.is_parametrized(place, "weight"):
            parametrize.remove_parametrizations(place, "weight")  # otherwise the weight is recomputed at every call
        return model

    def _fusible(self) -> bool:
        # The attention of WavLM, and a BatchNorm before the positional convolution, cannot be masked from outside.
        return (
            self.config["model_type"] != "wavlm"
            and not self.config.get("conv_pos_batch_norm", False)
            and self.config.get("adapter_attn_dim") is None
            and self.config.get("hidden_act", "gelu") == "gelu"
            and self._gelu
        )

    @property
    def _gelu(self) -> bool:
        return bool(self.config.get("feat_extract_activation", "gelu") == "gelu")

    def _fuse(self) -> tuple[GemmFront, FusedLayers]:
        model, stable = self._module, bool(self._module.config.do_stable_layer_norm)
        front = GemmFront(model.feature_extractor.conv_layers, *self._convolutions(), self._dtype)
        heads = model.config.num_attention_heads
        return front, FusedLayers(model.encoder.layers, heads=heads, norm_first=stable, dtype=self._dtype)

    def _stage(self, chunks: list[F32], samples: int | None = None) -> tuple[Any, ...]:
        lengths = [len(chunk) for chunk in chunks]
        if self._fused is None and (len(set(lengths)) > 1 or samples is not None):
            self._fused = self._fuse()
        if self._fused is None or (self._exact and len(set(lengths)) == 1 and samples is None):
            audio = np.stack([normalised(chunk) if self._normalizes else chunk for chunk in chunks])
            return to_device(audio, self._on), None, None
        padded = zeros(self._on, len(chunks), self._fused[0].samples(samples or max(lengths)))
        for row, chunk in zip(padded.numpy(), chunks, strict=True):
            row[: len(chunk)] = chunk
        counts = to_device(np.array(lengths), self._on)
        # With a fixed shape always a mask, which keeps the number of compiled graphs down.
        alike = samples is None and self.grid.num_frames(min(lengths)) == self.grid.num_frames(max(lengths))
        return padded.to(self._on, non_blocking=True), counts, self.grid.num_frames(lengths[0]) if alike else None

    def _forward(self, audio: Any, lengths: Any | None, frames: int | None) -> Any:
        """Audio (batch, samples) -> (batch, frames or more, dim).

        Args:
            audio: normalised; with `lengths`, raw and padded for `GemmFront`.
            lengths: (batch,) samples; None: the modules of transformers run on audio of one length.
            frames: frames of each item, if the number is equal for all.
        """
        return self._plain(audio) if lengths is None else self._quick(audio, lengths, frames)

    def _plain(self, audio: Any) -> Any:
        model = self._module
        quick = self._exact and self._gelu
        x = exact_front(model.feature_extractor.conv_layers, audio, quick=quick).transpose(1, 2)
        x = model.feature_projection(x)
        x = x[0] if isinstance(x, tuple) else x  # wav2vec 2.0 and WavLM also return the unprojected frames
        encoder = model.encoder
        x = x + encoder.pos_conv_embed(x)
        if not model.config.do_stable_layer_norm:
            x = encoder.layer_norm(x)
        bias = None  # computed by the first layer of WavLM and used by all layers
        for layer in encoder.layers:
            if self.config["model_type"] == "wavlm":
                x, bias = layer(x, attention_mask=None, position_bias=bias)[:2]
            else:
                x = last_of(layer(x, attention_mask=None))
        return encoder.layer_norm(x) if self._ends_normed else x

    def _quick(self, audio: Any, lengths: Any, frames: int | None) -> Any:
        import torch

        front, layers = self._fused
        projection, encoder = self._module.feature_projection, self._module.encoder
        if self._normalizes:
            audio = _normalised_rows(audio, lengths)
        x = front(audio, lengths)
        inside = None
        if frames is None:
            counts = (lengths - self.grid.window) // self.grid.stride + 1
            inside = torch.arange(x.shape[1], device=x.device) < counts[:, None]
        else:
            x = x[:, :frames]
        if getattr(projection, "layer_norm", None) is not None:
            x = projection.layer_norm(x.float())
        x = projection.projection(x.to(self._dtype))
        if inside is not None:
            x = x.masked_fill_(~inside[..., None], 0.0)  # the padding value of the positional convolution
        x = x.float() + encoder.pos_conv_embed(x)
        if not layers.norm_first:
            x = encoder.layer_norm(x)
        x = layers(x, inside)
        return encoder.layer_norm(x) if self._ends_normed else x

    @property
    def _ends_normed(self) -> bool:
        last = self.layer == int(self.config.get("num_hidden_layers", 12))
        return bool(self._module.config.do_stable_layer_norm) and last and self.final_norm


def normalised(audio: F32) -> F32:
    """Mean 0 and variance 1, as `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm` of transformers."""
    return np.asarray((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7), np.float32)


def _normalised_rows(audio: Any, lengths: Any) -> Any:
    """`normalised` on the device, for each row (samples,) of a batch padded with zeros."""
    import torch

    n = lengths[:, None]
    centred = audio - audio.sum(1, keepdim=True) / n
    centred = centred.masked_fill_(torch.arange(audio.shape[1], device=audio.device) >= n, 0.0)
    return centred.mul_(torch.rsqrt(centred.square().sum(1, keepdim=True) / n + 1e-7))
