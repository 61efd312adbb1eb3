"""Run-length encoding: an exact inverse, and independent segments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.arrays.runlength import MAX_RUN, dedup, dedup_ragged, expand, frames_ragged

segments = st.lists(st.lists(st.integers(0, 3), max_size=30), max_size=12)


def flat_of(parts: list[list[int]], dtype: type = np.uint16) -> tuple[np.ndarray, np.ndarray]:
    return np.array([u for part in parts for u in part], dtype), np.cumsum([0, *map(len, parts)])


@given(st.lists(st.integers(0, 4), max_size=60))
def test_values_and_durations_are_those_of_groupby(units):
    values, durations = dedup(np.array(units, np.uint16))
    expected = [(unit, len(list(run))) for unit, run in itertools.groupby(units)]
    assert list(zip(values.tolist(), durations.tolist(), strict=True)) == expected
    assert durations.dtype == np.uint16
    assert expand(values, durations).tolist() == units


@given(segments)
def test_many_segments_at_once_give_what_each_gives_alone(parts):
    flat, offsets = flat_of(parts)
    values, durations, at = dedup_ragged(flat, offsets)
    assert len(at) == len(parts) + 1
    for i, part in enumerate(parts):
        alone = dedup(np.array(part, np.uint16))
        assert values[at[i] : at[i + 1]].tolist() == alone[0].tolist()
        assert durations[at[i] : at[i + 1]].tolist() == alone[1].tolist()
    assert frames_ragged(durations, at).tolist() == [len(part) for part in parts]


def test_a_run_never_crosses_a_segment_border():
    values, durations, at = dedup_ragged(np.array([5, 5, 5, 5], np.uint16), np.array([0, 3, 3, 4]))
    assert (values.tolist(), durations.tolist(), at.tolist()) == ([5, 5], [3, 1], [0, 1, 1, 2])


@pytest.mark.parametrize("n", [MAX_RUN, MAX_RUN + 1, 2 * MAX_RUN, 1_440_000])
def test_hours_of_silence_survive_16_bit_durations(n):
    units = np.concatenate([[3], np.zeros(n, np.int64), [3, 3]]).astype(np.uint16)
    values, durations = dedup(units)
    assert durations.dtype == np.uint16
    assert len(values) == 2 + -(-n // MAX_RUN)
    assert np.array_equal(expand(values, durations), units)


def test_long_runs_are_cut_inside_their_segment_only():
    units = np.zeros(2 * MAX_RUN + 10, np.uint16)
    offsets = np.array([0, MAX_RUN + 5, len(units)])
    values, durations, at = dedup_ragged(units, offsets)
    assert at.tolist() == [0, 2, 4]
    assert durations.tolist() == [MAX_RUN, 5, MAX_RUN, 5]
    assert np.array_equal(expand(values, durations), units)


def test_no_frames_give_no_runs_and_the_dtype_stays():
    values, durations, at = dedup_ragged(np.empty(0, np.uint32), np.array([0, 0]))
    assert (len(values), len(durations), at.tolist(), values.dtype) == (0, 0, [0, 0], np.uint32)
