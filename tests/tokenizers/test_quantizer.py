"""K-means: nothing left out, the same for any number of threads; units that depend on the frame alone."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError, MissingBackend
from speechprep.tokenizers.quantizer import Centroids, FaissQuantizer, assign, perplexity


def blobs(n: int, dim: int, centres: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((centres, dim)) * 5
    return (middle[rng.integers(0, centres, n)] + rng.standard_normal((n, dim))).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 300),
    k=st.integers(1, 40),
    dim=st.integers(1, 50),
    offset=st.sampled_from([0.0, 100.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_a_unit_is_the_nearest_centroid_in_exact_arithmetic(n: int, k: int, dim: int, offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = (rng.standard_normal((n, dim)) + offset).astype(np.float32)
    centroids = (rng.standard_normal((k, dim)) + offset).astype(np.float32)
    distances = ((frames.astype(np.float64)[:, None] - centroids.astype(np.float64)) ** 2).sum(axis=2)
    assert np.array_equal(assign(frames, centroids), distances.argmin(axis=1))


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 700), max_size=8), seed=st.integers(0, 100))
def test_units_do_not_depend_on_what_is_assigned_beside_them(cuts: list[int], seed: int) -> None:
    frames = blobs(700, 39, 20, seed)
    # Centroids at the middle between frames make ties and near-ties common.
    centroids = np.concatenate([frames[:30], frames[30:60], (frames[:40] + frames[60:100]) / 2]).astype(np.float32)
    quantizer = Centroids(centroids)
    whole = quantizer.assign(frames)
    parts = [quantizer.assign(part) for part in np.split(frames, sorted(cuts))]
    assert np.array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(seed).permutation(len(frames))
    assert np.array_equal(quantizer.assign(frames[order]), whole[order])


def test_equal_centroids_give_the_lowest_index() -> None:
    centroids = np.array([[5, 5], [1, 2], [1, 2], [1, 2]], np.float32)
    assert assign(np.array([[1, 2], [1.5, 2], [5, 5]], np.float32), centroids).tolist() == [1, 1, 0]


def test_frames_half_way_between_two_centroids_go_to_the_lower_index() -> None:
    centroids = np.array([[3.0], [1.0]], np.float32)
    assert assign(np.array([[2.0], [2.0000002], [1.9999999]], np.float32), centroids).tolist() == [0, 0, 1]


@pytest.mark.parametrize(("k", "dtype"), [(2, np.uint16), (65_536, np.uint16), (65_537, np.uint32)])
def test_ids_are_as_wide_as_the_vocabulary_needs(k: int, dtype: Any) -> None:
    centroids = np.arange(k, dtype=np.float32)[:, None]
    found = Centroids(centroids).assign(np.array([[k - 1.0]], np.float32))
    assert found.dtype == dtype
    assert found[0] == k - 1


def test_no_frames_give_no_units() -> None:
    assert assign(np.empty((0, 3), np.float32), np.ones((2, 3), np.float32)).shape == (0,)


def test_features_of_another_dimension_are_refused() -> None:
    with pytest.raises(ConfigError, match="39 dimensions"):
        assign(np.ones((4, 13), np.float32), np.ones((2, 39), np.float32))


def test_all_frames_are_used_where_faiss_alone_would_take_256_for_each_centroid() -> None:
    sample = np.concatenate([np.zeros((5000, 2)), np.full((1, 2), 1000.0)]).astype(np.float32)
    fit = FaissQuantizer(iterations=20, restarts=10, init="random").fit(sample + blobs(5001, 2, 1) * 0.01, 2, seed=1)
    assert fit.frames_used == fit.frames_seen == fit.counts.sum() == 5001
    # One frame of 5001 has a centroid of its own: with a sub-sample of 512 it would almost surely be missed.
    assert sorted(fit.counts.tolist()) == [1, 5000]


def test_centroids_are_the_same_bits_for_any_number_of_threads() -> None:
    faiss = pytest.importorskip("faiss")
    sample = blobs(8000, 39, 60)
    before = faiss.omp_get_max_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            faiss.omp_set_num_threads(threads)
            found.append(FaissQuantizer(iterations=5, device="cpu").fit(sample, 50, seed=3).centroids)
    finally:
        faiss.omp_set_num_threads(before)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_the_seed_decides_the_centroids() -> None:
    sample = blobs(2000, 8, 30)
    quantizer = FaissQuantizer(iterations=3)
    first, again, other = (quantizer.fit(sample, 20, seed).centroids for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("init", ["random", "kmeans++", "afk-mc2"])
def test_inertia_falls_and_counts_add_up(init: Any) -> None:
    sample = blobs(3000, 8, 30)
    fit = FaissQuantizer(iterations=8, restarts=2, init=init).fit(sample, 20, seed=0)
    assert 2 <= len(fit.inertia) <= 8
    assert fit.inertia[-1] < fit.inertia[0]
    assert fit.final_inertia <= fit.inertia[-1] * 1.0001
    assert fit.counts.sum() == 3000
    assert 1 <= perplexity(fit.counts) <= 20


def test_more_restarts_never_give_a_worse_fit() -> None:
    sample = blobs(600, 4, 12)
    inertia = [FaissQuantizer(iterations=50, restarts=n).fit(sample, 12, seed=5).final_inertia for n in (1, 2, 8)]
    assert inertia[0] >= inertia[1] >= inertia[2]
    assert inertia[2] < inertia[0]


def test_more_units_than_frames_are_refused_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match="k = 11 units cannot be made of 10"):
        FaissQuantizer().fit(blobs(10, 3, 2), 11, seed=0)


def test_as_many_units_as_frames_is_one_each() -> None:
    fit = FaissQuantizer().fit(blobs(10, 3, 10), 10, seed=0)
    assert fit.counts.tolist() == [1] * 10
    assert fit.final_inertia == 0


def test_a_sample_that_is_not_finite_is_refused() -> None:
    sample = blobs(100, 3, 2)
    sample[7, 1] = np.nan
    with pytest.raises(ConfigError, match="NaN"):
        FaissQuantizer().fit(sample, 2, seed=0)


def test_without_faiss_one_line_names_both_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingBackend, match=r"speechprep\[cpu\].*speechprep\[gpu\]") as caught:
        FaissQuantizer().load()
    assert "\n" not in str(caught.value)


def test_a_gpu_asked_for_but_not_there_is_an_error_not_a_slow_run(monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with pytest.raises(ConfigError, match="device = 'gpu'"):
        FaissQuantizer(device="gpu").fit(blobs(100, 3, 2), 2, seed=0)


def test_perplexity_of_even_use_is_k_and_of_one_unit_is_one() -> None:
    assert perplexity(np.full(50, 7)) == pytest.approx(50)
    assert perplexity(np.array([0, 900, 0])) == pytest.approx(1)
    assert perplexity(np.zeros(4, np.int64)) == 0
