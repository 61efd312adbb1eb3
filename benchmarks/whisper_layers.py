"""Whisper frames of all layers from one forward pass, kept in a folder: the extractor of `benchmarks/position.py`.

`register(folder)` replaces the extractor `whisper` in this process. The first extraction of a piece of audio runs the
whole encoder and stores the output of every layer. Later extractions of the same audio, for any layer, read one array.
Frames, identity and windows are those of `WhisperExtractor`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from speechprep import registry
from speechprep.pipelines.backends.extractors.encoder import last_of
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor


class StoredLayers(WhisperExtractor):
    """`WhisperExtractor` in fp32 on a CPU, one window at a time, with the outputs of all layers on disk."""

    store: ClassVar[Path]

    def _read(self) -> Any:
        layer, self.layer = self.layer, self.sizes.encoder_layers
        try:
            return super()._read()
        finally:
            self.layer = layer

    def _stage(self, chunks: list[Any]) -> tuple[Any, ...]:
        (chunk,) = chunks
        key = hashlib.sha256(np.ascontiguousarray(chunk, "<f4").tobytes()).hexdigest()
        padding = "truncated" if self.truncate else "padded"
        file = self.store / Path(self.model).name / padding / key[:2] / f"{key}.npy"
        return file, None if file.exists() else super()._stage(chunks)[0]

    def _forward(self, file: Path, mel: Any) -> Any:
        import torch

        if mel is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part.npy")
            np.save(part, np.stack([x[0].numpy() for x in self._layers(mel)]))
            part.rename(file)
        x = torch.from_numpy(np.array(np.load(file, mmap_mode="r")[self.layer])[None])
        return self._module.layer_norm(x) if self._ends_normed else x

    def _layers(self, mel: Any) -> list[Any]:
        """Input of the first layer and output of each layer, before the final LayerNorm: each (1, frames, dim)."""
        from torch.nn.functional import gelu

        encoder = self._module
        x = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        outputs = [x]
        for layer in encoder.layers:
            outputs.append(last_of(layer(outputs[-1], None, **self._extra_arguments)))
        return outputs


def register(folder: Path) -> None:
    """Use `StoredLayers` as the extractor `whisper` in this process, with its arrays below `folder`."""
    StoredLayers.store = folder
    registry.FAMILIES["extractors"]["whisper"] = f"{__name__}:StoredLayers"
