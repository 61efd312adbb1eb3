from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.alignment.edit_distance import word_error_rate, word_errors

words = st.lists(st.sampled_from("abcd"), max_size=8)


def plain_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


@given(words, words)
def test_it_counts_the_fewest_edits(a, b):
    assert word_errors(a, b) == plain_distance(a, b)


@given(words, words, words)
def test_it_is_a_distance(a, b, c):
    assert word_errors(a, b) == word_errors(b, a)
    assert (word_errors(a, b) == 0) == (a == b)
    assert word_errors(a, c) <= word_errors(a, b) + word_errors(b, c)


@pytest.mark.parametrize(("a", "b", "rate"), [("", "", 0), ("", "x y", 2), ("x y", "", 1), ("x y", "x z y", 0.5)])
def test_the_rate_is_by_words_of_the_reference(a, b, rate):
    assert word_error_rate(a.split(), b.split()) == rate
