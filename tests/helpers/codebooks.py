"""Codebook artifacts for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from speechprep.artifacts import manifest
from speechprep.artifacts.codebook import Codebook
from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor

RATE = 16_000


def make_codebook(folder: Path, k: int = 24, options: dict[str, Any] | None = None) -> Path:
    """A codebook of centroids that are frames of noise, so that all units occur."""
    extractor = MfccExtractor(**(options or {}))
    extractor.load()
    audio = (np.random.default_rng(5).standard_normal(RATE * 4) * np.linspace(0.001, 0.3, RATE * 4)).astype(np.float32)
    frames = extractor.extract([audio])[0]
    codebook = Codebook(
        centroids=frames[:: len(frames) // k][:k].copy(),
        extractor=extractor.identity(),
        grid=extractor.grid,
        backend={"extractor": "mfcc", "options": options or {}},
    )
    return write_codebook(folder, codebook)


def write_codebook(folder: Path, codebook: Codebook) -> Path:
    """The artifact, as the stages that make one leave it."""
    folder.mkdir()
    codebook.save(folder)
    made = manifest.Manifest(
        "codebook", codebook.fingerprint, codebook.fingerprint, {}, [], {}, [], {}, codebook.facts()
    )
    manifest.write(str(folder), made)
    return folder
