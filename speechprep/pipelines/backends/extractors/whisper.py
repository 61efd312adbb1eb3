"""Extractor `whisper`: frames of a layer of Whisper's encoder, from a folder of transformers.

The frames of layer L are `hidden_states[L]` of the plain transformers encoder: 0 is the input of the first layer, and
those of the last have gone through the final LayerNorm. Nothing above layer L and nothing of the decoder is run. The
log-mel spectrogram is transformers' own, computed once for each window.

The encoder hears 30 s, padded with silence: an utterance of n samples has ceil(n / 320) frames of its own, and those
beyond are cut off (`extract_padded` gives them too, for averages over all 1,500). Longer audio is cut into windows of
30 s that overlap (windows.py). With `truncate` the encoder runs over the utterance's own frames only: up to twelve
times cheaper for short ones, but what a frame holds changes, for the attention no longer sees the padding.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.extractors.checkpoint import check_layer, read_config, read_model, shape_digest
from speechprep.pipelines.backends.extractors.encoder import EncoderExtractor, Shared, as_fp32, last_of
from speechprep.pipelines.backends.extractors.encoder_windows import EncoderWindow, EncoderWindows
from speechprep.pipelines.backends.extractors.fused_layers import FusedLayers
from speechprep.pipelines.backends.extractors.prefetch import zeros
from speechprep.pipelines.backends.model_files import PREPROCESSOR, read_json

HOP, WINDOW = 160, 400  # samples of a mel frame; the second convolution makes one frame of two
POSITIONS = 1500  # where a configuration is silent

F32 = NDArray[np.float32]


class WhisperExtractor(EncoderExtractor):
    """See the module's text; further arguments in `EncoderExtractor`.

    Args:
        truncate: run the encoder over the utterance's own frames instead of over 30 s.
        overlap: seconds that two windows of longer audio share.
    """

    name = "whisper"

    def __init__(
        self,
        model: str,
        layer: int,
        *,
        truncate: bool = False,
        overlap: float = 2.0,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(model, layer, **shared)
        self.truncate, self.overlap = truncate, overlap

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's own, checked to be Whisper's and to have the layer."""
        config = read_config(self.label, self.folder, ("whisper",))
        check_layer(self.label, self.layer, int(config.get("encoder_layers", 4)))
        heard = read_json(self.folder / PREPROCESSOR)
        positions = int(config.get("max_source_positions", POSITIONS))
        if heard.get("hop_length", HOP) != HOP or int(heard.get("nb_max_frames", 2 * positions)) != 2 * positions:
            raise ConfigError(
                f"{self.label}: {self.folder / PREPROCESSOR} makes other mel frames than {positions} positions need"
            )
        return config

    @cached_property
    def grid(self) -> FrameGrid:
        """A frame for every 320 samples begun."""
        return FrameGrid(self.sample_rate, 2 * HOP, 2 * HOP, padded=True)

    @cached_property
    def dim(self) -> int:
        """Values of a frame."""
        return int(self.config.get("d_model", 384))

    @cached_property
    def windows(self) -> EncoderWindows:
        """How long audio is cut: by all that the encoder can hear."""
        frames = int(self.config.get("max_source_positions", POSITIONS))
        return EncoderWindows(self.grid, frames / self.grid.rate, self.overlap)

    def _identity(self) -> dict[str, Any]:
        layers = int(self.config.get("encoder_layers", 4))
        return {
            "model": f"whisper-{layers}x{self.dim}",
            "config": shape_digest(self.config),
            "output": "hidden_states",
            "final_norm": self.layer == layers,
            "mels": int(read_json(self.folder / PREPROCESSOR).get("feature_size", 80)),
            "truncate": self.truncate,
        }

    def _read(self) -> Any:
        from transformers import WhisperFeatureExtractor

        self._mel = WhisperFeatureExtractor.from_pretrained(self.folder, local_files_only=True)
        changes = {"encoder_layers": self.layer, "decoder_layers": 0}
        encoder = read_model(self.label, self.folder, changes, attn_implementation="sdpa").encoder
        # Asked for by every layer before transformers 5 and unknown since.
        given = inspect.signature(type(encoder.layers[0]).forward).parameters if self.layer else {}
        self._asked = {"layer_head_mask": None} if "layer_head_mask" in given else {}
        return encoder

    def _fusible(self) -> bool:
        return bool(self.config.get("activation_function", "gelu") == "gelu")

    def _fuse(self) -> FusedLayers:
        heads = int(self.config.get("encoder_attention_heads", 6))
        return FusedLayers(self._module.layers, heads=heads, norm_first=True, dtype=self._dtype)

    def _alike(self) -> bool:
        return self.truncate  # else all chunks are made as long

    def _span(self, samples: int) -> int:
        return samples if self.truncate else self.windows.frames * self.grid.stride

    def _stage(self, chunks: list[F32]) -> tuple[Any, ...]:
        import torch

        if self._on.type == "cuda":
            audio = zeros(self._on, len(chunks), max(map(len, chunks)))
            for row, chunk in zip(audio.numpy(), chunks, strict=True):
                row[: len(chunk)] = chunk
            mel = log_mel(audio.to(self._on, non_blocking=True), self._mel.mel_filters, self._mel.n_samples)
        else:
            # One at a time: the mel of an item must not depend on a batched transform.
            mels = [self._mel(c, sampling_rate=self.sample_rate, return_tensors="pt").input_features for c in chunks]
            mel = torch.cat(mels)
        return (mel[..., : 2 * self.grid.num_frames(len(chunks[0]))] if self.truncate else mel,)

    def _forward(self, mel: Any) -> Any:
        from torch.nn.functional import gelu

        encoder = self._module
        if self._fused is not None:
            mel = mel.to(self._dtype)
        x = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        if self._fused is not None:
            x = self._fused(x.float().contiguous(), None)
        else:
            for layer in encoder.layers:
                x = last_of(layer(x, None, **self._asked))
        return encoder.layer_norm(x) if self.layer == int(self.config.get("encoder_layers", 4)) else x

    def extract_padded(self, blocks: Iterable[F32]) -> Iterator[tuple[F32, int]]:
        """Like `extract_stream`, but with the frames of the padding: (frames (some, dim), how many of them are valid).

        Audio of more than one window has no padding.
        """
        for window in self.windows.cut(blocks):
            (frames,) = self._made([self._with_padding(window)], as_fp32)
            yield frames, window.take

    def extract_padded_batch(self, batch: list[F32]) -> list[list[tuple[F32, int]]]:
        """What `extract_padded` gives for each item (samples,), run together."""
        cut = [(i, window) for i, audio in enumerate(batch) for window in self.windows.cut([audio])]
        parts: list[list[tuple[F32, int]]] = [[] for _ in batch]
        made = self._made([self._with_padding(window) for _, window in cut], as_fp32)
        for (i, window), frames in zip(cut, made, strict=True):
            parts[i].append((frames, window.take))
        return parts

    def _with_padding(self, window: EncoderWindow) -> EncoderWindow:
        alone = window.take == self.grid.num_frames(len(window.samples))
        return EncoderWindow(window.samples, 0, self.windows.frames) if alone else window


def log_mel(audio: Any, filters: NDArray[np.float64], samples: int) -> Any:
    """transformers' log-mel spectrogram of audio (batch, up to `samples`) on any device: (batch, mels, frames)."""
    import torch

    audio = torch.nn.functional.pad(audio, (0, samples - audio.shape[1]))
    spectrum = torch.stft(
        audio, WINDOW, HOP, window=torch.hann_window(WINDOW, device=audio.device), return_complex=True
    )
    weights = torch.from_numpy(np.asarray(filters, np.float32)).to(audio.device).T
    mel = (weights @ spectrum[..., :-1].abs().square()).clamp_min(1e-10).log10()
    return (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8.0) + 4.0) / 4.0
