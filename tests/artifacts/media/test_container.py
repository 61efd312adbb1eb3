"""Sound of media containers: any range has exactly its samples, equal to those of the whole file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speechprep.artifacts.media.container import MediaReader

av = pytest.importorskip("av", reason="PyAV is not installed")
pytestmark = pytest.mark.reference
RATE = 16_000
SAMPLES = 5_000


@pytest.fixture(scope="module")
def matroska(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.int16]]:
    """A Matroska file with uncompressed sound in packets of 1,000 samples, and the sound."""
    path = tmp_path_factory.mktemp("media") / "speech.mkv"
    sound = np.random.default_rng(0).integers(-30_000, 30_000, SAMPLES).astype(np.int16)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start in range(0, SAMPLES, 1000):
            frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1000], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path, sound


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, SAMPLES), (0, 1), (999, 1001), (1000, 2000), (1500, 3700), (4999, 5000), (4000, 9000)],
)
def test_a_range_has_exactly_its_samples(matroska: tuple[Path, NDArray[np.int16]], start: int, stop: int):
    path, sound = matroska
    blocks = list(MediaReader(io.BytesIO(path.read_bytes()), "WebM/Matroska").blocks(start, stop))
    samples = np.concatenate(blocks)[:, 0] if blocks else np.zeros(0, np.float32)
    np.testing.assert_array_equal(samples, sound[start:stop] / np.float32(32768))
