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

from collections.abc import Iterable, Iterator
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
from speechprep.pipelines.backends.extractors.windows import Windows

HOP = 160  # samples of a mel frame; the second convolution makes one frame of two
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
        self.truncate, self.overlap = truncate, overlap

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's own, checked to be Whisper's and to have the layer."""
        config = read_config(self.what, self.folder, ("whisper",))
        check_layer(self.what, self.layer, int(config.get("encoder_layers", 4)))
        heard = read_json(self.what, self.folder, PREPROCESSOR)
        positions = int(config.get("max_source_positions", POSITIONS))
        if heard.get("hop_length", HOP) != HOP or int(heard.get("nb_max_frames", 2 * positions)) != 2 * positions:
            raise ConfigError(
                f"{self.what}: {self.folder / PREPROCESSOR} makes other mel frames than {positions} positions need"
            )
        return config

    @property
    def grid(self) -> FrameGrid:
        """A frame for every 320 samples begun."""
        return FrameGrid(self.sample_rate, 2 * HOP, 2 * HOP, padded=True)

    @property
    def dim(self) -> int:
        """Values of a frame."""
        return int(self.config.get("d_model", 384))

    @cached_property
    def windows(self) -> Windows:
        """How long audio is cut: by all that the encoder can hear."""
        frames = int(self.config.get("max_source_positions", POSITIONS))
        return Windows(self.grid, frames / self.grid.rate, self.overlap)

    def _identity(self) -> dict[str, Any]:
        layers = int(self.config.get("encoder_layers", 4))
        return {
            "model": f"whisper-{layers}x{self.dim}",
            "config": shape_digest(self.config),
            "output": "hidden_states",
            "final_norm": self.layer == layers,
            "mels": int(read_json(self.what, self.folder, PREPROCESSOR).get("feature_size", 80)),
            "truncate": self.truncate,
        }

    def _read(self) -> Any:
        from transformers import WhisperFeatureExtractor

        self._mel = WhisperFeatureExtractor.from_pretrained(self.folder, local_files_only=True)
        changes = {"encoder_layers": self.layer, "decoder_layers": 0}
        return read_model(self.what, self.folder, changes, attn_implementation="sdpa").encoder

    def _padded_together(self) -> bool:
        return not self.truncate  # else chunks of unlike length make unlike numbers of frames

    def _encode(self, chunks: list[F32]) -> list[F32]:
        everything = self._encode_padded(chunks)
        return [frames[: self.grid.num_frames(len(c))] for frames, c in zip(everything, chunks, strict=True)]

    def _encode_padded(self, chunks: list[F32]) -> list[F32]:
        import torch

        self._pin_threads()
        # One at a time: the mel of an item must not depend on a batched transform.
        mels = [self._mel(c, sampling_rate=self.sample_rate, return_tensors="pt").input_features for c in chunks]
        mel = torch.cat(mels)
        if self.truncate:
            mel = mel[..., : 2 * self.grid.num_frames(len(chunks[0]))]
        with self._computing():
            return list(self._run(mel.to(self._on)).float().cpu().numpy())

    def _forward(self, mel: Any) -> Any:
        from torch.nn.functional import gelu

        encoder = self._module
        x = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        for layer in encoder.layers:
            x = layer(x, None, layer_head_mask=None)[0]
        return encoder.layer_norm(x) if self.layer == int(self.config.get("encoder_layers", 4)) else x

    def extract_padded(self, blocks: Iterable[F32]) -> Iterator[tuple[F32, int]]:
        """Like `extract_stream`, but with the frames of the padding: (frames (some, dim), how many of them are valid).

        Audio of more than one window has no padding.
        """
        for window in self.windows.cut(blocks):
            frames = self._encode_padded([window.samples])[0]
            whole = window.take == self.grid.num_frames(len(window.samples))
            yield frames if whole else frames[window.skip : window.skip + window.take], window.take
