"""Extractor `whisper`: frames of a layer of the Whisper encoder, from any form of its weights.

The frames of layer L are `hidden_states[L]` of the plain transformers encoder. Layer 0 is the input of the first layer,
and the last layer includes the final LayerNorm, unless `final_norm` is false. Layers above L and the decoder do not
run. The log-mel spectrogram is computed by transformers, once for each window. The weights are a transformers folder, a
CTranslate2 folder or a `.pt` file, and equal weights give equal frames.

The input of the encoder is 30 s, padded with silence. An utterance of n samples keeps ceil(n / 320) frames; frames of
the padding are removed, and `extract_padded` returns all 1,500. Longer audio is cut into overlapping windows of 30 s
(encoder_windows.py). With `truncate` the encoder runs on the frames of the utterance only. This is up to twelve times
cheaper for short utterances, but the frames differ, because attention no longer includes the padding.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.extractors.checkpoint import check_layer, last_of, read_model, shape_digest
from speechprep.pipelines.backends.extractors.encoder import EncoderExtractor, Shared
from speechprep.pipelines.backends.extractors.encoder_windows import EncoderWindow, EncoderWindows
from speechprep.pipelines.backends.extractors.fused_layers import FusedLayers
from speechprep.pipelines.backends.extractors.precision import as_fp32
from speechprep.pipelines.backends.extractors.prefetch import zeros
from speechprep.pipelines.backends.model_files import PREPROCESSOR, checked_folder, read_json, weights_sha256
from speechprep.pipelines.backends.whisper.encoder_module import encoder_config, read_encoder
from speechprep.pipelines.backends.whisper.forms import ENOUGH, find_whisper, form_of, open_weights
from speechprep.pipelines.backends.whisper.sizes import Sizes
from speechprep.pipelines.backends.whisper.transformers_folder import TransformersFolder
from speechprep.pipelines.backends.whisper.weights import WhisperWeights

HOP, WINDOW = 160, 400  # samples of a mel frame; the second convolution makes one frame of two

F32 = NDArray[np.float32]


class WhisperExtractor(EncoderExtractor):
    """Frames of a layer of the Whisper encoder; further arguments in `EncoderExtractor`.

    Args:
        truncate: run the encoder on the frames of the utterance instead of on 30 s.
        overlap: seconds shared by two windows of longer audio.
        final_norm: apply the final LayerNorm at the last layer.
    """

    name = "whisper"
    version = 3

    def __init__(
        self,
        model: str,
        layer: int,
        *,
        truncate: bool = False,
        overlap: float = 2.0,
        final_norm: bool = True,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(model, layer, **shared)
        self.truncate, self.overlap, self.final_norm = truncate, overlap, final_norm

    @cached_property
    def weights(self) -> WhisperWeights:
        """The weights of the model, in any form, with the chosen layer."""
        path = Path(self.model).expanduser()
        weights = open_weights(path if path.exists() else find_whisper(self.model, self.revision))
        check_layer(self.label, self.layer, weights.sizes.encoder_layers)
        self._preprocessor(weights)
        return weights

    @property
    def sizes(self) -> Sizes:
        """Sizes of the model."""
        return self.weights.sizes

    def _preprocessor(self, weights: WhisperWeights) -> Path | None:
        """The folder with `preprocessor_config.json`; None: the values of Whisper."""
        file = weights.path / PREPROCESSOR
        if weights.form == "openai" or (weights.form == "ct2" and not file.exists()):
            return None
        mel, sizes = read_json(file), weights.sizes
        frames = int(mel.get("nb_max_frames", 2 * sizes.positions))
        if (mel.get("hop_length", HOP), mel.get("feature_size", 80), frames) != (HOP, sizes.mels, 2 * sizes.positions):
            raise ConfigError(
                f"{self.label}: the mel frames of {file} do not fit the {sizes.positions} positions and {sizes.mels} "
                "bands of the model; copy the model again, whole"
            )
        return weights.path

    @cached_property
    def grid(self) -> FrameGrid:
        """One frame for each 320 samples, also for the last incomplete ones."""
        return FrameGrid(self.sample_rate, 2 * HOP, 2 * HOP, padded=True)

    @cached_property
    def dim(self) -> int:
        """Values of a frame."""
        return self.sizes.width

    @cached_property
    def windows(self) -> EncoderWindows:
        """Windows of long audio: the maximal input of the encoder, 30 s."""
        return EncoderWindows(self.grid, self.sizes.positions / self.grid.rate, self.overlap)

    @property
    def window_frames(self) -> int:
        """Frames of the window; each position has its own embedding."""
        return self.windows.frames

    def window_positions(self, n_frames: int) -> NDArray[np.int64]:
        """Number of each frame of an utterance in its window of 30 s."""
        return self.windows.positions(n_frames)

    def _identity(self) -> dict[str, Any]:
        return {
            "model": f"whisper-{self.sizes.encoder_layers}x{self.dim}",
            "config": shape_digest(encoder_config(self.sizes)),
            "output": "hidden_states",
            "final_norm": self._ends_normed,
            "mels": self.sizes.mels,
            "truncate": self.truncate,
        }

    def _weights(self) -> dict[str, Any]:
        """Identity of the weights: sha256 of the encoder tensors, equal in every form."""
        return {"weights": self.weights.digest()}

    def earlier_identities(self) -> list[dict[str, Any]]:
        """The identity of version 2, with the sha256 of the weight files, for a transformers folder."""
        weights = self.weights
        if not isinstance(weights, TransformersFolder) or not (
            self.final_norm or self.layer < weights.sizes.encoder_layers
        ):
            return []
        identity = {name: value for name, value in self.identity().items() if name != "weights"}
        files = {"config": shape_digest(weights.config), "revision": weights_sha256(weights.path)}
        return [{**identity, "version": 2, **files}]

    def _check_folder(self) -> None:
        path = Path(self.model).expanduser()
        if path.is_file() and form_of(path) == "openai":
            return  # torch reads the rest, in `load`
        if path.exists() or checked_folder(self.model, ENOUGH, self.revision) is not None:
            self.weights.files  # noqa: B018 - raises if a file is absent
            self._identity()
            self.windows  # noqa: B018 - raises if the overlap does not fit

    @property
    def _ends_normed(self) -> bool:
        return self.final_norm and self.layer == self.sizes.encoder_layers

    def _read(self) -> Any:
        import transformers

        hf: Any = transformers
        folder = self._preprocessor(self.weights)
        if folder is not None:
            self._mel = hf.WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        else:
            seconds = round(self.sizes.positions / self.grid.rate)
            self._mel = hf.WhisperFeatureExtractor(feature_size=self.sizes.mels, chunk_length=seconds)
        if self.weights.form == "transformers":
            changes = {"encoder_layers": self.layer, "decoder_layers": 0}
            encoder = read_model(self.label, self.weights.path, changes, attn_implementation="sdpa").encoder
        else:
            encoder = read_encoder(self.weights, self.layer)
        if self.weights.dequantised:
            logging.getLogger(__name__).warning(
                "%s: the weights of %s are %s and were dequantised to float32; their frames and identity differ from "
                "those of the float model", self.label, self.weights.path, "+".join(self.weights.stored()),
            )  # fmt: skip
        # Required by every layer before transformers 5, and unknown since.
        parameters = inspect.signature(type(encoder.layers[0]).forward).parameters if self.layer else {}
        self._extra_arguments = {"layer_head_mask": None} if "layer_head_mask" in parameters else {}
        return encoder

    def _fusible(self) -> bool:
        return self.sizes.activation == "gelu"

    def _fuse(self) -> FusedLayers:
        heads = self.sizes.encoder_heads
        return FusedLayers(self._module.layers, heads=heads, norm_first=True, dtype=self._dtype)

    def _alike(self) -> bool:
        return self.truncate  # without it all chunks are padded to one length

    def _span(self, samples: int) -> int:
        return samples if self.truncate else self.windows.frames * self.grid.stride

    def _stage(self, chunks: list[F32], samples: int | None = None) -> tuple[Any, ...]:
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
        return encoder.layer_norm(x) if self._ends_normed else x

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
