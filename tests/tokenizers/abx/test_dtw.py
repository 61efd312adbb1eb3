"""The distance of two segments equals the best of all warping paths, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.abx import dtw
from speechprep.tokenizers.abx.dtw import AngularDistance, one_hot, segment_distances

K = 5
CENTROIDS = np.random.default_rng(0).standard_normal((K, 3)).astype(np.float32)
DISTANCES = {"one-hot": one_hot, "centroids": AngularDistance(CENTROIDS)}
SEGMENTS = st.lists(st.lists(st.integers(0, K - 1), min_size=1, max_size=4), min_size=1, max_size=6)


def paths(n: int, m: int) -> Iterator[list[tuple[int, int]]]:
    """All warping paths from (0, 0) to (n - 1, m - 1)."""
    if (n, m) == (1, 1):
        yield [(0, 0)]
    for before in ((n - 1, m), (n, m - 1), (n - 1, m - 1)):
        if min(before) > 0:
            yield from ([*path, (n - 1, m - 1)] for path in paths(*before))


def by_all_paths(a: list[int], b: list[int], distance) -> float:
    costs = []
    for path in paths(len(a), len(b)):
        cost = 0.0
        for i, j in path:
            cost += float(distance(np.array([a[i]]), np.array([b[j]]))[0])
        costs.append((cost, len(path)))
    cheapest = min(cost for cost, _ in costs)
    return cheapest / min(length for cost, length in costs if cost <= cheapest + 1e-12)


def all_pairs(segments: list[list[int]], distance) -> np.ndarray:
    units = np.concatenate([np.array(s, np.uint16) for s in segments])
    offsets = np.cumsum([0, *map(len, segments)])
    left, right = np.divmod(np.arange(len(segments) ** 2), len(segments))
    return segment_distances(units, offsets, left, right, distance).reshape(len(segments), -1)


@pytest.mark.parametrize("name", DISTANCES)
@given(segments=SEGMENTS)
def test_the_distance_is_that_of_the_best_path(name, segments):
    measured = all_pairs(segments, DISTANCES[name])
    wanted = [[by_all_paths(a, b, DISTANCES[name]) for b in segments] for a in segments]
    assert measured == pytest.approx(np.array(wanted), abs=1e-9)
    assert np.array_equal(measured, measured.T)


@given(SEGMENTS, st.integers(1, 7))
def test_blocks_of_any_size_give_the_same_bits(segments, size):
    wanted = all_pairs(segments, DISTANCES["centroids"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dtw, "PAIRS", size)
        assert np.array_equal(all_pairs(segments, DISTANCES["centroids"]), wanted)


def test_repeated_units_cost_nothing():
    assert all_pairs([[1, 2], [1, 1, 1, 2], [2, 1]], one_hot)[0].tolist() == [0.0, 0.0, 0.5]


def test_the_angle_of_centroids_is_that_of_their_vectors():
    centroids = np.array([[1, 0], [0, 2], [-3, 0], [1, 1], [0, 0]], np.float32)
    distance = AngularDistance(centroids)
    assert [float(distance(np.array([0]), np.array([i]))[0]) for i in range(5)] == pytest.approx([0, 0.5, 1, 0.25, 0.5])


def test_the_paths_of_the_reference_are_all_paths():
    assert [sum(1 for _ in paths(n, n)) for n in (1, 2, 3)] == [1, 3, 13]  # the central Delannoy numbers
    assert all(max(j - i for i, j in pairwise(sorted({i for i, _ in p}))) == 1 for p in paths(3, 2))
