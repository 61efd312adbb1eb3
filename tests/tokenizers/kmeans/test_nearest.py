"""Nearest centroids: the unit of a frame is independent of other frames and of the search backend."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.tokenizers.kmeans.frames import Block
from speechprep.tokenizers.kmeans.gpu import FaissSearch, TorchSearch, gpu_search
from speechprep.tokenizers.kmeans.nearest import Centroids, NumpySearch, assign, perplexity


def blobs(n: int, dim: int, centres: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((centres, dim)) * 5
    return (middle[rng.integers(0, centres, n)] + rng.standard_normal((n, dim))).astype(np.float32)


@settings(max_examples=40)
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


@settings(max_examples=40)
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
    result = Centroids(centroids).assign(np.array([[k - 1.0]], np.float32))
    assert result.dtype == dtype
    assert result[0] == k - 1


def test_no_frames_give_no_units() -> None:
    assert assign(np.empty((0, 3), np.float32), np.ones((2, 3), np.float32)).shape == (0,)


def test_features_of_another_dimension_are_refused() -> None:
    with pytest.raises(ConfigError, match="39 dimensions"):
        assign(np.ones((4, 13), np.float32), np.ones((2, 39), np.float32))


class Careless(NumpySearch):
    """A search with rounded scores within its error bound; among equal scores it takes the last."""

    def __init__(self, step: float) -> None:
        self.step = step

    def top2(self, block: Block) -> Any:
        scores = np.round((self._half - block.data @ self._transposed) / self.step).astype(np.float32) * self.step
        best = scores.shape[1] - 1 - scores[:, ::-1].argmin(axis=1)
        lowest = scores.min(axis=1)
        scores[np.arange(len(scores)), best] = np.inf
        return best, lowest, scores.min(axis=1)

    def error_bound(self, norms: Any, norm: float, dim: int) -> Any:
        return super().error_bound(norms, norm, dim) + self.step


def searches() -> list[Any]:
    result: list[Any] = [Careless(0.5)]
    if find_spec("faiss"):
        result.append(FaissSearch(gpu=False))
    with contextlib.suppress(ImportError):
        result.append(TorchSearch("cpu"))
    return result


@pytest.mark.parametrize("search", searches(), ids=lambda f: type(f).__name__)
@settings(max_examples=30)
@given(k=st.integers(1, 40), dim=st.integers(1, 30), seed=st.integers(0, 1000))
def test_all_search_backends_give_equal_units(search: Any, k: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.integers(-3, 4, (200, dim)).astype(np.float32)  # whole numbers: many ties
    centroids = np.concatenate([frames[: k // 2], rng.standard_normal((k - k // 2, dim))]).astype(np.float32)
    result = Centroids(centroids, search).nearest(Block.of(frames))
    assert np.array_equal(result, assign(frames, centroids))


def test_a_search_with_a_wrong_error_bound_gives_wrong_units() -> None:
    class Liar(Careless):
        def error_bound(self, norms: Any, norm: float, dim: int) -> Any:
            return np.full_like(norms, -1.0)  # no frame is compared again

    frames, centroids = blobs(500, 8, 9), blobs(30, 8, 9, seed=1)
    assert not np.array_equal(Centroids(centroids, Liar(20.0)).nearest(Block.of(frames)), assign(frames, centroids))


def test_torch_caches_blocks_while_there_is_room_and_frees_them() -> None:
    pytest.importorskip("torch")
    frames, centroids = blobs(100, 8, 9), blobs(5, 8, 9, seed=1)
    reads = []

    def block(start: int) -> Block:
        return Block(start, start + 50, lambda: reads.append(start) or frames[start : start + 50], (100, start))

    search = TorchSearch("cpu", cache=50 * 8 * 4)
    search.prepare(centroids, np.zeros(5, np.float32))
    for _ in range(3):
        for start in (0, 50):
            search.top2(block(start))
    assert reads == [0, 50, 50, 50]
    search.clear_cache()
    search.top2(block(50))
    search.top2(block(50))
    assert reads == [0, 50, 50, 50, 50]


def test_without_a_gpu_there_is_no_gpu_search(monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    monkeypatch.setattr("speechprep.tokenizers.kmeans.gpu.find_spec", lambda name: None if name == "torch" else True)
    assert gpu_search() is None


def test_perplexity_of_even_use_is_k_and_of_one_unit_is_one() -> None:
    assert perplexity(np.full(50, 7)) == pytest.approx(50)
    assert perplexity(np.array([0, 900, 0])) == pytest.approx(1)
    assert perplexity(np.zeros(4, np.int64)) == 0
