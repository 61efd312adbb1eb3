"""Tokens get the times of equal words, and the others the passage between their neighbours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.alignment.given_times import anchors, gaps


def times(words: list[str]) -> list[tuple[float, float]]:
    return [(float(i), i + 0.5) for i in range(len(words))]


@pytest.mark.parametrize(
    ("tokens", "words", "starts", "agreement"),
    [
        ("a b c", "a b c", [0, 1, 2], 1.0),
        ("a b c", "a c", [0, None, 1], 1.0),
        ("a b c", "b", [None, 0, None], 1.0),
        ("a dont c", "a do nt c", [0, 1, 3], 1.0),
        ("a colour c", "a color c", [0, 1, 2], 2 / 3),
        ("a c", "a b c", [0, 2], 2 / 3),
        ("x y", "a b c", [None, None], 0.0),
        ("a 1 b", "a x y b", [0, None, 3], 0.5),
        ("", "a", [], 0.0),
    ],
)
def test_tokens_and_words(tokens: str, words: str, starts: list[int | None], agreement: float):
    found = anchors(tokens.split(), words.split(), times(words.split()))
    assert [span and span[0] for span in found.spans] == starts
    assert found.agreement == pytest.approx(agreement)


def test_gaps_lie_between_the_neighbours_or_at_the_words_in_their_place():
    found = anchors(["p", "a", "q", "r", "b", "1", "c", "s"], ["a", "b", "x", "y", "c"], times("abxyc"))
    assert gaps(found) == [(0, 1, None, 0.0), (2, 4, 0.5, 1.0), (5, 6, 2.0, 3.5), (7, 8, 4.5, None)]


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
def test_each_token_has_a_time_or_a_gap_and_times_ascend(tokens: list[str], words: list[str]):
    found = anchors(tokens, words, times(words))
    in_gaps = [at for first, end, _, _ in gaps(found) for at in range(first, end)]
    assert sorted([*in_gaps, *(at for at, span in enumerate(found.spans) if span)]) == list(range(len(tokens)))
    starts = [span[0] for span in found.spans if span]
    assert starts == sorted(starts)
    assert all(stop is None or start is None or start <= stop for _, _, start, stop in gaps(found))
