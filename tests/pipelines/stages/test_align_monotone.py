"""align: the times of `monotone` are running maxima, and times in order stay as they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.pipelines.backends import Transcript, Word
from speechprep.pipelines.stages import align
from speechprep.pipelines.thresholds import Thresholds

TIMES = st.one_of(st.floats(-1, 12), st.sampled_from([0.0, 5.0, 10.0]))


def words_at(times: list[tuple[float, float]]) -> list[Word]:
    timings = ("aligned", "interpolated", "given")
    return [Word(f"w{i}", a, b, None if i % 3 else -i / 2, timings[i % 3]) for i, (a, b) in enumerate(times)]


def oracle(times: list[tuple[float, float]], duration: float) -> list[tuple[float, float]]:
    """Start: the largest start so far. End: the largest start or end so far. Both cut to [0, duration]."""
    fixed = []
    for i in range(len(times)):
        starts, ends = [a for a, _ in times[: i + 1]], [b for _, b in times[: i + 1]]
        fixed.append((min(max(0.0, *starts), duration), min(max(0.0, *starts, *ends), duration)))
    return fixed


@given(st.lists(st.tuples(TIMES, TIMES), max_size=8))
def test_times_are_running_maxima_within_the_audio(times):
    words = words_at(times)
    found = align.monotone(words, 10.0)
    assert [(w.start, w.end) for w in found] == oracle(times, 10.0)
    assert [(w.text, w.score, w.timing) for w in found] == [(w.text, w.score, w.timing) for w in words]


@given(st.lists(st.floats(0, 10), min_size=2, max_size=12))
def test_words_in_order_keep_their_times(times):
    edges = sorted(times)
    words = words_at(list(pairwise(edges)))
    assert align.monotone(words, 10.0) == words


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([(1, 2), (3, 4)], [(1, 2), (3, 4)]),
        ([(1, 5), (3, 4)], [(1, 5), (3, 5)]),  # words may overlap, ends do not go backwards
        ([(3, 4), (1, 6)], [(3, 4), (3, 6)]),
        ([(2, 1)], [(2, 2)]),
        ([(-1, 0.5), (9, 11), (12, 13)], [(0, 0.5), (9, 10), (10, 10)]),
    ],
)
def test_a_table_of_times(times, expected):
    assert [(w.start, w.end) for w in align.monotone(words_at(times), 10.0)] == expected


def test_a_row_has_the_corrected_times():
    transcript = Transcript("w0 w1", words_at([(1.0, 5.0), (0.5, 30.0)]))
    row = align.words_row(Thresholds(), {"id": "u", "text": "w0 w1"}, transcript, 10.0, np.zeros(0, np.float32))
    assert [(w["start"], w["end"]) for w in row["words"]] == [(1.0, 5.0), (1.0, 10.0)]
