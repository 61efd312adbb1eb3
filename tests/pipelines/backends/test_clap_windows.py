"""The windows of an embedder that hears: they cover everything, and the mean of their vectors is a unit vector."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechprep.pipelines.backends.embedders.sound_windows import pool, spans, unit


@given(n=st.integers(1, 5000), window=st.integers(1, 700), data=st.data())
def test_windows_cover_every_sample_and_only_a_short_sound_has_a_short_one(n: int, window: int, data) -> None:
    hop = data.draw(st.integers(1, window))
    found = spans(n, window, hop)
    covered = np.zeros(n, bool)
    for start, stop in found:
        covered[start:stop] = True
        assert stop - start == min(n, window)
    assert covered.all()
    assert found == sorted(set(found))
    assert found[0][0] == 0
    assert found[-1][1] == n


def test_a_sound_of_just_a_window_is_one_and_a_sample_more_is_two() -> None:
    assert spans(10, 10, 10) == [(0, 10)]
    assert spans(11, 10, 10) == [(0, 10), (1, 11)]
    assert spans(25, 10, 10) == [(0, 10), (10, 20), (15, 25)]
    assert spans(20, 10, 5) == [(0, 10), (5, 15), (10, 20)]


def test_the_mean_of_one_window_is_that_window_to_the_bit() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32))
    assert np.array_equal(pool(vectors[:1]), vectors[:1])
    mean = pool(vectors)
    assert mean.shape == (1, 8)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(mean), 1, atol=1e-6)
    np.testing.assert_allclose(mean[0], vectors.mean(0) / np.linalg.norm(vectors.mean(0)), atol=1e-6)


def test_zeros_stay_zeros() -> None:
    assert not unit(np.zeros((2, 4), np.float32)).any()
