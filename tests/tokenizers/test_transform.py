"""Centring and scaling of frames: the formula of the means, exact sums, and units that depend on nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.tokenizers.kmeans.nearest import Centroids
from speechprep.tokenizers.kmeans.transform import SHRINKAGE, ExactSums, FrameTransform, shrunk_means


def frames_of(seed: int, n: int, dim: int = 5, numbers: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    frames = rng.standard_normal((n, dim)) * 10.0 ** rng.integers(-4, 4, dim)
    return frames.astype(np.float32), rng.integers(0, numbers, n)


@settings(max_examples=50)
@given(seed=st.integers(0, 999), n=st.integers(1, 60), shrinkage=st.floats(0.5, 50))
def test_the_mean_of_a_frame_number_shrinks_as_the_formula_states(seed: int, n: int, shrinkage: float) -> None:
    frames, numbers = frames_of(seed, n)
    sums = ExactSums(9, np.abs(frames).max(axis=0).astype(np.float64), n)
    sums.add(frames.astype(np.float64), numbers)
    means = shrunk_means(sums.sums, sums.counts, shrinkage)
    for number in range(9):
        rows = [frame.tolist() for frame, p in zip(frames, numbers.tolist(), strict=True) if p == number]
        for d in range(frames.shape[1]):
            overall = math.fsum(frames[:, d].tolist()) / n
            weight = len(rows) / (len(rows) + shrinkage)
            own = math.fsum(row[d] for row in rows) / len(rows) if rows else 0.0
            expected = weight * own + (1 - weight) * overall
            assert means[number, d] == pytest.approx(expected, rel=1e-5, abs=1e-6 * float(np.abs(frames[:, d]).max()))


def test_a_number_without_frames_has_the_mean_of_all_and_one_with_many_has_its_own() -> None:
    sums, counts = np.array([[1000.0 * 5], [0.0]]), np.array([1000, 0])
    means = shrunk_means(sums, counts)
    assert means[1, 0] == 5.0
    assert SHRINKAGE == 20
    mixed = shrunk_means(np.array([[20.0 * 6], [980.0 * 1]]), np.array([20, 980]))
    assert mixed[0, 0] == pytest.approx((6 + 1.1) / 2)  # at 20 frames both means have the same weight


@settings(max_examples=50)
@given(seed=st.integers(0, 999), n=st.integers(1, 200), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_sums_are_equal_for_every_order_and_cut_and_close_to_the_exact_sum(seed: int, n: int, cuts: list[int]) -> None:
    frames, numbers = frames_of(seed, n)
    largest = np.abs(frames).max(axis=0).astype(np.float64)
    whole, parts = ExactSums(7, largest, n), ExactSums(7, largest, n)
    whole.add(frames.astype(np.float64), numbers)
    order = np.random.default_rng(seed + 1).permutation(n)
    for rows in np.split(order, sorted(min(cut, n) for cut in cuts)):
        if len(rows):
            parts.add(frames[rows].astype(np.float64), numbers[rows])
    assert np.array_equal(whole.sums, parts.sums)
    assert np.array_equal(whole.counts, parts.counts)
    for number in range(7):
        for d in range(frames.shape[1]):
            exact = math.fsum(frames[numbers == number, d].tolist())
            assert whole.sums[number, d] == pytest.approx(exact, abs=1e-12 * n * largest[d])


@settings(max_examples=50)
@given(seed=st.integers(0, 999), n=st.integers(1, 80), cuts=st.lists(st.integers(0, 80), max_size=5))
def test_units_of_blocks_are_the_units_of_the_whole_and_the_nearest_by_brute_force(
    seed: int, n: int, cuts: list[int]
) -> None:
    frames, numbers = frames_of(seed, n)
    rng = np.random.default_rng(seed)
    transform = FrameTransform(
        (rng.standard_normal((7, 5)) * 3).astype(np.float32), rng.uniform(0.1, 9, 5).astype(np.float32)
    )
    centroids = Centroids(rng.standard_normal((4, 5)).astype(np.float32), transform=transform)
    whole = centroids.assign(frames, numbers)
    parts = [centroids.assign(frames[rows], numbers[rows]) for rows in np.split(np.arange(n), sorted(cuts))]
    assert np.array_equal(np.concatenate(parts), whole)
    for frame, number, unit in zip(frames, numbers, whole, strict=True):
        moved = (frame - transform.means[number]) * transform.scale
        assert moved.dtype == np.float32
        distances = ((centroids.centroids.astype(np.float64) - moved.astype(np.float64)) ** 2).sum(axis=1)
        assert unit == distances.argmin()


def test_without_means_the_numbers_are_not_needed_and_with_them_they_are() -> None:
    frames = np.ones((2, 3), np.float32)
    assert FrameTransform()(frames, None) is frames
    assert FrameTransform(scale=np.full(3, 2, np.float32))(frames, None).tolist() == [[2, 2, 2]] * 2
    with pytest.raises(ConfigError, match="centred by the number"):
        Centroids(frames, transform=FrameTransform(np.ones((4, 3), np.float32))).assign(frames)
