"""Pairing of clips: a derangement within the tolerances, as large as possible, independent of the order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.tokenizers.arrays.keyed_random import mix64
from speechprep.tokenizers.clips import pairing
from speechprep.tokenizers.clips.pairing import UNPAIRED, derangement, smallest_tolerance

TOLERANCES = (0.05, 0.1, 0.2)


@st.composite
def clips(draw: st.DrawFn, most: int = 40) -> dict[str, np.ndarray]:
    n = draw(st.integers(0, most))
    spread = draw(st.sampled_from([1, 20, 400]))
    columns = {
        "seconds": 1 + np.array(draw(st.lists(st.integers(0, spread), min_size=n, max_size=n)), np.float64) / 100,
        "groups": np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), np.int64),
        "utterances": np.array(draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)), np.int64),
        "texts": np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n)), np.uint64),
    }
    return {**columns, "keys": mix64(np.arange(n).astype(np.uint64))}


def compatible(c: dict[str, np.ndarray], tolerance: float) -> np.ndarray:
    """(n, n) True for clips that may be partners, by definition."""
    longer, shorter = np.maximum.outer(c["seconds"], c["seconds"]), np.minimum.outer(c["seconds"], c["seconds"])
    unlike = [np.not_equal.outer(c[name], c[name]) for name in ("utterances", "texts")]
    return (
        np.equal.outer(c["groups"], c["groups"]) & unlike[0] & unlike[1] & (longer <= shorter * (1 + tolerance) + 1e-9)
    )


def largest(allowed: np.ndarray) -> int:
    """Largest number of texts with an audio, by an independent matching (SciPy's Hopcroft-Karp)."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not len(allowed):
        return 0
    return int((maximum_bipartite_matching(csr_matrix(allowed), perm_type="column") >= 0).sum())


@settings(max_examples=300)
@given(c=clips())
def test_it_is_a_derangement_of_compatible_clips_and_no_larger_one_exists(c: dict[str, np.ndarray]) -> None:
    partner = derangement(**c, tolerances=TOLERANCES)
    paired = np.flatnonzero(partner != UNPAIRED)
    assert sorted(partner[paired]) == paired.tolist()  # each audio once, of paired clips only
    assert not (partner == np.arange(len(partner))).any()
    assert compatible(c, TOLERANCES[-1])[paired, partner[paired]].all()
    assert len(paired) == largest(compatible(c, TOLERANCES[-1]))


@settings(max_examples=100)
@given(c=clips())
def test_a_wider_tolerance_is_used_only_where_it_pairs_more_clips(c: dict[str, np.ndarray]) -> None:
    fewer, before = 0, np.zeros(0, np.int64)
    for i in range(1, len(TOLERANCES) + 1):
        partner = derangement(**c, tolerances=TOLERANCES[:i])
        count = int((partner != UNPAIRED).sum())
        assert count == largest(compatible(c, TOLERANCES[i - 1]))
        assert count >= fewer
        if i > 1 and count == fewer:
            assert (partner == before).all()
        fewer, before = count, partner


@settings(max_examples=100)
@given(c=clips(), seed=st.integers(0, 1000))
def test_the_order_of_the_clips_does_not_matter(c: dict[str, np.ndarray], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(c["seconds"]))
    shuffled = derangement(**{name: values[order] for name, values in c.items()}, tolerances=TOLERANCES)
    original = derangement(**c, tolerances=TOLERANCES)
    expected = {i: original[i] for i in range(len(order))}
    assert {int(order[i]): int(order[p]) if p != UNPAIRED else p for i, p in enumerate(shuffled)} == expected


def test_three_clips_of_a_kind_go_round() -> None:
    partner = _alike(3)
    assert sorted(partner) == [0, 1, 2]
    assert not (partner == np.arange(3)).any()


def _alike(n: int, utterances: np.ndarray | None = None) -> np.ndarray:
    numbers = np.arange(n)
    codes = numbers.astype(np.uint64)
    groups = np.zeros(n, np.int64)
    owners = numbers if utterances is None else utterances
    return derangement(10 + numbers / (100 * n), groups, owners, codes, codes, TOLERANCES)


@pytest.mark.parametrize("n", [1000, 5001])
def test_large_groups_beyond_the_reach_are_paired_as_well(n: int) -> None:
    assert n > 2 * pairing.REACH
    assert (_alike(n) != UNPAIRED).all()
    half = np.where(np.arange(n) < 3 * n // 4, 0, np.arange(n))  # three quarters are of one utterance
    paired = int((_alike(n, half) != UNPAIRED).sum())
    assert paired >= n - 3 * n // 4  # the others find partners among themselves at least


def test_the_smallest_tolerance_is_the_one_that_holds() -> None:
    seconds = np.array([1.0, 1.05, 1.1, 1.2, 5.0])
    partner = np.array([1, 2, 3, 0, UNPAIRED])
    found = smallest_tolerance(seconds, partner, TOLERANCES)
    assert found[:4].tolist() == [0.05, 0.05, 0.1, 0.2]
    assert np.isnan(found[4])


def test_every_small_case_is_the_largest_by_trying_all_permutations() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = 5
        c = {
            "seconds": 1 + rng.integers(0, 30, n) / 100,
            "groups": np.zeros(n, np.int64),
            "utterances": rng.integers(0, 4, n),
            "texts": rng.integers(0, 6, n).astype(np.uint64),
            "keys": np.arange(n).astype(np.uint64),
        }
        allowed = compatible(c, 0.2) | np.eye(n, dtype=bool)
        best = max(
            sum(p[i] != i for i in range(n)) for p in itertools.permutations(range(n)) if allowed[range(n), p].all()
        )
        assert int((derangement(**c, tolerances=TOLERANCES) != UNPAIRED).sum()) == best
