"""Units of centred and standardised frames: equal in every batch, block, window and path of an extractor."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_models as tiny
from helpers.clock_extractor import WINDOW, ClockExtractor
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.artifacts.timebase import FrameGrid
from speechprep.pipelines.backends.extractors.encoder_windows import EncoderWindows
from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor
from speechprep.tokenizers.kmeans.nearest import Centroids
from speechprep.tokenizers.kmeans.transform import FrameTransform

RATE = 16_000


def centred(dim: int, window: int, seed: int = 0) -> Centroids:
    """Random centroids, means of a size that changes many units, and a scale."""
    rng = np.random.default_rng(seed)
    transform = FrameTransform(
        rng.standard_normal((window, dim)).astype(np.float32), rng.uniform(0.5, 2.0, dim).astype(np.float32)
    )
    return Centroids(rng.standard_normal((50, dim)).astype(np.float32), transform=transform)


def by_hand(centroids: Centroids, frames: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Units of frames, one by one."""
    means, scale = centroids.transform.means, centroids.transform.scale
    wide = centroids.centroids.astype(np.float64)
    moved = [((frame - means[p]) * scale).astype(np.float64) for frame, p in zip(frames, positions, strict=True)]
    return np.array([((wide - frame) ** 2).sum(axis=1).argmin() for frame in moved])


@settings(max_examples=60)
@given(
    n=st.integers(1, 4000), cuts=st.lists(st.integers(0, 4000), max_size=4), size=st.integers(4, 40),
    overlap=st.floats(0, 0.5), padded=st.booleans(),
)  # fmt: skip
def test_the_number_of_a_frame_is_its_place_in_the_window_that_contributes_it(
    n: int, cuts: list[int], size: int, overlap: float, padded: bool
) -> None:
    grid = FrameGrid(100, 10, 10 if padded else 25, padded=padded)
    windows = EncoderWindows(grid, size / 10, size * overlap / 10)
    if not grid.num_frames(n):
        return
    audio = np.zeros(n, np.float32)
    pieces = [audio[a:b] for a, b in pairwise([0, *sorted(min(c, n) for c in cuts), n])]
    numbers = [np.arange(w.skip, w.skip + w.take) for w in windows.cut(pieces)]
    assert np.array_equal(np.concatenate(numbers), windows.positions(grid.num_frames(n)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny.torch()
    return tiny.whisper(tmp_path_factory.mktemp("whisper"))


@pytest.mark.reference
@pytest.mark.parametrize("truncate", [False, True])
def test_units_of_whisper_are_equal_alone_in_a_batch_and_in_blocks(model: Path, truncate: bool) -> None:
    from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor

    extractor = WhisperExtractor(str(model), 2, device="cpu", truncate=truncate)
    extractor.load()
    assert extractor.window_frames == 1500
    rng = np.random.default_rng(1)
    audio = [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in (900, 31_011, 70 * RATE + 7, 20_000)]
    centroids = centred(extractor.dim, 1500)
    together = extractor.units(audio, centroids)
    for one, units, frames in zip(audio, together, extractor.extract(audio), strict=True):
        assert np.array_equal(units, by_hand(centroids, frames, extractor.window_positions(len(frames))))
        assert np.array_equal(extractor.units([one], centroids)[0], units)
        blocks = extractor.units_stream(np.array_split(one, 9), centroids)
        assert np.array_equal(np.concatenate(list(blocks)), units)
    assert len(set(np.concatenate(together).tolist())) > 10
    plain = Centroids(centroids.centroids)
    assert not np.array_equal(extractor.units(audio[1:2], plain)[0], together[1]), "centring changes units"


@pytest.mark.reference
def test_the_device_path_gives_the_units_of_the_host() -> None:
    torch = tiny.torch()
    from speechprep.pipelines.backends.extractors.device_units import DeviceCentroids

    rng = np.random.default_rng(2)
    frames = rng.standard_normal((3, 40, 16)).astype(np.float32)
    for transform in (
        FrameTransform(rng.standard_normal((60, 16)).astype(np.float32), rng.uniform(0.1, 9, 16).astype(np.float32)),
        FrameTransform(rng.standard_normal((60, 16)).astype(np.float32)),
        FrameTransform(None, rng.uniform(0.1, 9, 16).astype(np.float32)),
    ):
        centroids = Centroids(rng.standard_normal((20, 16)).astype(np.float32), transform=transform)
        on_device = DeviceCentroids(centroids, torch.device("cpu"))(torch.from_numpy(frames)).numpy()
        for row, window in zip(on_device, frames, strict=True):
            assert np.array_equal(row, centroids.assign(window, np.arange(40)))


def test_the_defaults_of_an_extractor_with_a_window_number_its_frames() -> None:
    extractor = ClockExtractor()
    rng = np.random.default_rng(3)
    audio = [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in (1600, 50_001, 2 * WINDOW * 1600 + 800)]
    centroids = centred(extractor.dim, WINDOW)
    for one, units in zip(audio, extractor.units(audio, centroids), strict=True):
        frames = extractor.extract([one])[0]
        assert np.array_equal(units, by_hand(centroids, frames, np.arange(len(frames)) % WINDOW))
        streamed = np.concatenate(list(extractor.units_stream(np.array_split(one, 5), centroids)))
        assert np.array_equal(streamed, units)


def test_a_scale_alone_works_for_every_extractor_in_blocks() -> None:
    extractor = MfccExtractor()
    extractor.load()
    assert extractor.window_frames == 0
    audio = (np.random.default_rng(4).standard_normal(40_000) * 0.1).astype(np.float32)
    frames = extractor.extract([audio])[0]
    scale = (1 / frames.std(axis=0)).astype(np.float32)
    centroids = Centroids(frames[:20] * scale, transform=FrameTransform(None, scale))
    units = extractor.units([audio], centroids)[0]
    assert units[:20].tolist() == list(range(20))
    assert np.array_equal(units, Centroids(frames[:20] * scale).assign(frames * scale))
    assert np.array_equal(np.concatenate(list(extractor.units_stream(np.array_split(audio, 7), centroids))), units)
