"""Extractor `acme-energy`: log energy of 20 ms frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from speechprep.artifacts.timebase import FrameGrid


class EnergyExtractor:
    """Two values a frame: log energy, and its change. Only the required members."""

    sample_rate = 16_000
    dim = 2
    grid = FrameGrid(16_000, 320, 320)

    def identity(self) -> dict[str, Any]:
        """Nothing but the name decides a frame."""
        return {"name": "acme-energy", "version": 1}

    def load(self) -> None:
        """No model."""

    def extract(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        """(frames, 2) float32 for each item."""
        frames = []
        for audio in batch:
            n = self.grid.num_frames(len(audio))
            energy = np.log(np.square(audio[: n * 320].reshape(n, 320)).mean(axis=1) + 1e-8)
            frames.append(np.stack([energy, np.diff(energy, prepend=energy[:1])], axis=1).astype(np.float32))
        return frames
