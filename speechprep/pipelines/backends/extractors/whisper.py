"""Extractor `whisper`: frames of a layer of the Whisper encoder, from a transformers folder.

The frames of layer L are `hidden_states[L]` of the plain transformers encoder. Layer 0 is the input of the first layer,
and the last layer includes the final LayerNorm. Layers above L and the decoder do not run. The log-mel spectrogram is
computed by transformers, once for each window.

The input of the encoder is 30 s, padded with silence. An utterance of n samples keeps ceil(n / 320) frames; frames of
the padding are removed, and `extract_padded` returns all 1,500. Longer audio is cut into overlapping windows of 30 s
(encoder_windows.py). With `truncate` the encoder runs on the frames of the utterance only. This is up to twelve times
cheaper for short utterances, but the frames differ, because attention no longer includes the padding.
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
from speechprep.pipelines.backends.extractors.encoder import EncoderExtractor, Shared, last_of
from speechprep.pipelines.backends.extractors.encoder_windows import EncoderWindow, EncoderWindows
from speechprep.pipelines.backends.extractors.fused_layers import FusedLayers
from speechprep.pipelines.backends.extractors.precision import as_fp32
from speechprep.pipelines.backends.extractors.prefetch import zeros
from speechprep.pipelines.backends.model_files import PREPROCESSOR, read_json

HOP, WINDOW = 160, 400  # samples of a mel frame; the second convolution makes one frame of two
POSITIONS = 1500  # default of `max_source_positions`

F32 = NDArray[np.float32]


class WhisperExtractor(EncoderExtractor):
    """Frames of a layer of the Whisper encoder; further arguments in `EncoderExtractor`.

    Args:
        truncate: run the encoder on the frames of the utterance instead of on 30 s.
        overlap: seconds shared by two windows of longer audio.
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
        """`config.json` of a Whisper model with the chosen layer."""
        config = read_config(self.label, self.folder, ("whisper",))
        check_layer(self.label, self.layer, int(config.get("encoder_layers", 4)))
        mel = read_json(self.folder / PREPROCESSOR)
        positions = int(config.get("max_source_positions", POSITIONS))
        if mel.get("hop_length", HOP) != HOP or int(mel.get("nb_max_frames", 2 * positions)) != 2 * positions:
            raise ConfigError(
                f"{self.label}: the mel frames of {self.folder / PREPROCESSOR} do not fit the {positions} positions of "
                "the model; copy the model again, whole"
            )
        return config

    @cached_property
    def grid(self) -> FrameGrid:
        """One frame for each 320 samples, also for the last incomplete ones."""
        return FrameGrid(self.sample_rate, 2 * HOP, 2 * HOP, padded=True)

    @cached_property
    def dim(self) -> int:
        """Values of a frame."""
        return int(self.config.get("d_model", 384))

    @cached_property
    def windows(self) -> EncoderWindows:
        """Windows of long audio: the maximal input of the encoder, 30 s."""
        frames = int(self.config.get("max_source_positions", POSITIONS))
        return EncoderWindows(self.grid, frames / self.grid.rate, self.overlap)

    @property
    def window_frames(self) -> int:
        """Frames of the window; each position has its own embedding."""
        return self.windows.frames

    def window_positions(self, n_frames: int) -> NDArray[np.int64]:
        """Number of each frame of an utterance in its window of 30 s."""
        return self.windows.positions(n_frames)

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
        # Required by every layer before transformers 5, and unknown since.
        parameters = inspect.signature(type(encoder.layers[0]).forward).parameters if self.layer else {}
        self._extra_arguments = {"layer_head_mask": None} if "layer_head_mask" in parameters else {}
        return encoder

    def _fusible(self) -> bool:
        return bool(self.config.get("activation_function", "gelu") == "gelu")

    def _fuse(self) -> FusedLayers:
        heads = int(self.config.get("encoder_attention_heads", 6))
        return FusedLayers(self._module.layers, heads=heads, norm_first=True, dtype=self._dtype)

    def _alike(self) -> bool:
        return self.truncate  # without it all chunks are padded to one length

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
            # One at a time, so that the mel frames of an item do not depend on a batched transform.
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
                x = last_of(layer(x, None, **self._extra_arguments))
        return encoder.layer_norm(x) if self.layer == int(self.config.get("encoder_layers", 4)) else x

    def extract_padded(self, blocks: Iterable[F32]) -> Iterator[tuple[F32, int]]:
        """Like `extract_stream`, with the frames of the padding: (frames (some, dim), number of valid frames).

        Audio of more than one window has no padding.
        """
        for window in self.windows.cut(blocks):
            (frames,) = self._results([self._with_padding(window)], as_fp32)
            yield frames, window.take

    def extract_padded_batch(self, batch: list[F32]) -> list[list[tuple[F32, int]]]:
        """`extract_padded` for each item (samples,), computed together."""
        cut = [(i, window) for i, audio in enumerate(batch) for window in self.windows.cut([audio])]
        parts: list[list[tuple[F32, int]]] = [[] for _ in batch]
        results = self._results([self._with_padding(window) for _, window in cut], as_fp32)
        for (i, window), frames in zip(cut, results, strict=True):
            parts[i].append((frames, window.take))
        return parts

    def _with_padding(self, window: EncoderWindow) -> EncoderWindow:
        alone = window.take == self.grid.num_frames(len(window.samples))
        return EncoderWindow(window.samples, 0, self.windows.frames) if alone else window


def log_mel(audio: Any, filters: NDArray[np.float64], samples: int) -> Any:
    """The log-mel spectrogram of transformers of audio (batch, up to `samples`): (batch, mels, frames)."""
    import torch

    audio = torch.nn.functional.pad(audio, (0, samples - audio.shape[1]))
    spectrum = torch.stft(
        audio, WINDOW, HOP, window=torch.hann_window(WINDOW, device=audio.device), return_complex=True
    )
    weights = torch.from_numpy(np.asarray(filters, np.float32)).to(audio.device).T
    mel = (weights @ spectrum[..., :-1].abs().square()).clamp_min(1e-10).log10()
    return (torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8.0) + 4.0) / 4.0
