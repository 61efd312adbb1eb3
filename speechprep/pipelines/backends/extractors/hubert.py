"""Extractor `hubert`: frames of a layer of HuBERT, wav2vec 2.0, XLS-R, mHuBERT or WavLM, from a folder of transformers.

The frames of layer L are `hidden_states[L]` of the plain transformers model: what the L-th transformer layer (counted
from 1) gives after both of its residual sums; 0 is the input of the first. In the models that normalise first (large,
XLS-R) the last layer's frames go through the final LayerNorm, as there; `final_norm: false` leaves it out, as fairseq's
`extract_features` does. Nothing above layer L is read or run. In fp32 on a CPU the frames are bit for bit those of the
plain model.

Audio is normalised to mean 0 and variance 1 over its true length where the model wants it. Batches are padded and yet
exact: see masked_norm.py; the attention does not see the padding either. Audio longer than `window` seconds is cut into
overlapping windows (windows.py), each of which is normalised and run by itself, so memory does not grow with it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.extractors.checkpoint import (
    PREPROCESSOR,
    check_layer,
    read_config,
    read_json,
    read_model,
    shape_digest,
)
from speechprep.pipelines.backends.extractors.encoder import Dtype, EncoderExtractor
from speechprep.pipelines.backends.extractors.masked_norm import front_end
from speechprep.pipelines.backends.extractors.windows import Windows

TYPES = ("hubert", "wav2vec2", "wavlm")
KERNELS, STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]  # of transformers where a configuration is silent

F32 = NDArray[np.float32]


class HubertExtractor(EncoderExtractor):
    """See the module's text; further arguments in `EncoderExtractor`.

    Args:
        normalize: mean 0 and variance 1 over the utterance; None: as `preprocessor_config.json` of the model says.
        final_norm: at the last layer of a model that normalises first, apply the final LayerNorm.
        window: seconds of the longest audio that is run whole.
        overlap: seconds that two windows of longer audio share.
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
        revision: str | None = None,
        dtype: Dtype = "fp32",
        device: str = "auto",
        batch_seconds: float | None = None,
        threads: int = 1,
        compile: bool = False,  # noqa: A002
    ) -> None:
        super().__init__(
            model, layer, revision=revision, dtype=dtype, device=device, batch_seconds=batch_seconds, threads=threads,
            compile=compile,
        )  # fmt: skip
        self.normalize, self.final_norm = normalize, final_norm
        self.window, self.overlap = window, overlap

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's own, checked to be of a kind that is understood and to have the layer."""
        config = read_config(self.what, self.folder, TYPES)
        check_layer(self.what, self.layer, int(config.get("num_hidden_layers", 12)))
        return config

    @cached_property
    def grid(self) -> FrameGrid:
        """Stride and receptive field of the convolutions: 320 and 400 samples in all the usual models."""
        stride, field = 1, 1
        for kernel, step in zip(*self._convolutions(), strict=True):
            field += (kernel - 1) * stride
            stride *= step
        return FrameGrid(self.sample_rate, stride, field)

    @property
    def dim(self) -> int:
        """Values of a frame."""
        return int(self.config.get("hidden_size", 768))

    @cached_property
    def windows(self) -> Windows:
        """How long audio is cut."""
        return Windows(self.grid, self.window, self.overlap)

    def _convolutions(self) -> tuple[list[int], list[int]]:
        return self.config.get("conv_kernel", KERNELS), self.config.get("conv_stride", STRIDES)

    @cached_property
    def _normalizes(self) -> bool:
        if self.normalize is not None:
            return self.normalize
        if not (self.folder / PREPROCESSOR).exists():
            raise ConfigError(
                f"{self.what}: the model folder {self.folder} has no {PREPROCESSOR}, which says whether the model "
                "wants normalised audio; copy it there, or set normalize: true or false"
            )
        return bool(read_json(self.what, self.folder, PREPROCESSOR).get("do_normalize", True))

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
        model = read_model(self.what, self.folder, {"num_hidden_layers": self.layer}, **how)
        place = model.encoder.pos_conv_embed.conv
        if parametrize.is_parametrized(place, "weight"):
            parametrize.remove_parametrizations(place, "weight")  # or its product is computed at every call
        return model

    def _padded_together(self) -> bool:
        # WavLM's attention and a BatchNorm before the positional convolution cannot be masked from outside.
        return self.config["model_type"] != "wavlm" and not self.config.get("conv_pos_batch_norm", False)

    def _encode(self, chunks: list[F32]) -> list[F32]:
        import torch

        lengths = [len(chunk) for chunk in chunks]
        audio = np.zeros((len(chunks), max(lengths)), np.float32)
        for row, chunk in zip(audio, chunks, strict=True):
            row[: len(chunk)] = normalised(chunk) if self._normalizes else chunk
        ragged = torch.tensor(lengths, device=self._on) if len(set(lengths)) > 1 else None
        with self._computing():
            made = self._run(torch.from_numpy(audio).to(self._on), ragged).float().cpu().numpy()
        return [frames[: self.grid.num_frames(n)] for frames, n in zip(made, lengths, strict=True)]

    def _forward(self, audio: Any, lengths: Any | None) -> Any:
        import torch

        model, config = self._module, self._module.config
        kernels, strides = self._convolutions()
        x = front_end(model.feature_extractor.conv_layers, audio, kernels, strides, lengths).transpose(1, 2)
        x = model.feature_projection(x)
        x = x[0] if isinstance(x, tuple) else x  # wav2vec 2.0 and WavLM give the unprojected frames too
        mask = None
        if lengths is not None:
            counts = (lengths - self.grid.window) // self.grid.stride + 1
            inside = torch.arange(x.shape[1], device=x.device) < counts[:, None]
            x = torch.where(inside[..., None], x, 0.0)  # what the positional convolution pads with
            mask = inside[:, None, None].expand(-1, 1, x.shape[1], -1)
        encoder = model.encoder
        x = x + encoder.pos_conv_embed(x)
        stable = config.do_stable_layer_norm
        if not stable:
            x = encoder.layer_norm(x)
        x = self._layers(encoder.layers, x, mask)
        last = self.layer == int(self.config.get("num_hidden_layers", 12))
        return encoder.layer_norm(x) if stable and last and self.final_norm else x

    def _layers(self, layers: Any, x: Any, mask: Any | None) -> Any:
        if self.config["model_type"] != "wavlm":
            for layer in layers:
                x = layer(x, attention_mask=mask)[0]
            return x
        bias = None  # WavLM's first layer makes the position bias that all of them use
        for layer in layers:
            x, bias = layer(x, attention_mask=None, position_bias=bias)[:2]
        return x


def normalised(audio: F32) -> F32:
    """Mean 0 and variance 1, as transformers' `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm`."""
    return np.asarray((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7), np.float32)
