"""Word ranges of clips: no overlap, timed at both ends, as many as possible."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.clips.windows import word_windows


def most(timed: list[bool], n: int) -> int:
    """Largest number of ranges, by dynamic programming."""
    best = [0] * (len(timed) + 1)
    for end in range(1, len(timed) + 1):
        first = end - n
        fits = first >= 0 and timed[first] and timed[end - 1]
        best[end] = max(best[end - 1], best[first] + 1 if fits else 0)
    return best[-1]


@given(timed=st.lists(st.booleans(), max_size=60), n=st.integers(1, 12))
def test_ranges_begin_and_end_at_timed_words_and_are_as_many_as_possible(timed: list[bool], n: int) -> None:
    firsts = word_windows(np.array(timed, bool), n).tolist()
    assert all(timed[first] and timed[first + n - 1] for first in firsts)
    assert all(b - a >= n for a, b in itertools.pairwise(firsts))
    assert len(firsts) == most(timed, n)
