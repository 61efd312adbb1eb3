"""Extractors on a GPU: frames of a CPU up to rounding, and the units of the nearest centroids of their own frames."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import tiny_models as tiny

from speechprep.pipelines.backends.extractors.hubert import HubertExtractor
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.tokenizers.kmeans.nearest import Centroids

pytestmark = pytest.mark.gpu
RATE = 16_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    tiny.torch()
    return {
        "hubert": str(tiny.speech_encoder(tmp_path_factory.mktemp("hubert"), "hubert")),
        "whisper": str(tiny.whisper(tmp_path_factory.mktemp("whisper"))),
    }


@pytest.mark.parametrize("kind", [HubertExtractor, WhisperExtractor])
@pytest.mark.parametrize(("dtype", "compiled"), [("fp32", False), ("bf16", False), ("bf16", True)])
def test_frames_and_units(gpu: str, folders: dict[str, str], kind: type, dtype: str, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    audio = [(rng.standard_normal(round(s * RATE)) * 0.1).astype(np.float32) for s in (3.0, 0.5, 1.2, 4.4, 40.0)]
    on_cpu = kind(folders[kind.name], 2, device="cpu")
    on_gpu = kind(folders[kind.name], 2, device=gpu, dtype=dtype, batch_seconds=20.0, compile=compiled)
    for extractor in (on_cpu, on_gpu):
        extractor.load()
    frames = on_gpu.extract(audio)
    tolerance = 1e-3 if dtype == "fp32" else 0.1
    for a, b in zip(frames, on_cpu.extract(audio), strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() < tolerance * np.abs(b).max()
    book = Centroids(np.ascontiguousarray(np.concatenate(frames)[::5]))
    units = on_gpu.units(audio, book)
    equal = [np.mean(a == book.assign(b)) for a, b in zip(units, frames, strict=True)]
    assert np.mean(equal) > 0.98  # frames of two calls differ by rounding on some GPUs
