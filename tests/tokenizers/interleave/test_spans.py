"""Every unit is in exactly one word or in the leading gap, for all word times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.arrays.ragged import offsets_of
from speechprep.tokenizers.interleave.spans import span_table

GRID = FrameGrid(sample_rate=16_000, stride=320, window=400)


def table(starts: list[list[float]], frames: list[int], grid: FrameGrid = GRID):
    flat = np.array([s for row in starts for s in row], np.float64)
    return span_table(flat, offsets_of(np.array([len(r) for r in starts], np.int64)), np.array(frames), grid)


def spans(starts: list[float], frames: int) -> list[tuple[int, int]]:
    result = table([starts], [frames])
    return list(zip(result.starts.tolist(), result.stops.tolist(), strict=True))


def test_silence_goes_to_the_word_before_it_and_the_leading_silence_to_none():
    assert spans([0.10, 0.20, 0.50], 40) == [(5, 10), (10, 25), (25, 40)]
    assert table([[0.10, 0.20]], [40]).lead.tolist() == [5]


def test_a_start_on_a_frame_edge_belongs_to_the_frame_that_starts_there():
    assert spans([k * 0.02 for k in range(1, 50)], 50) == [(k, k + 1) for k in range(1, 50)]


def test_of_words_that_start_together_the_last_has_the_units():
    assert spans([0.1, 0.1, 0.1], 10) == [(5, 5), (5, 5), (5, 10)]


def test_a_word_beyond_the_last_frame_is_empty():
    assert spans([0.1, 9.0], 10) == [(5, 10), (10, 10)]


def test_a_start_before_its_predecessor_is_raised_to_it():
    assert spans([0.1, 0.04, 0.16], 10) == [(5, 5), (5, 8), (8, 10)]


def test_no_words_and_no_units_are_no_special_case():
    result = table([[], [0.0, 0.1], []], [7, 0, 0])
    assert result.lead.tolist() == [7, 0, 0]
    assert result.starts.tolist() == result.stops.tolist() == [0, 0]
    assert table([], []).starts.tolist() == []


utterances = st.lists(st.tuples(st.lists(st.floats(-1, 5), max_size=12), st.integers(0, 200)), max_size=6)


@given(utterances, st.sampled_from([160, 320, 640]))
def test_gap_and_spans_one_after_the_other_are_the_stream(batch, stride):
    grid = FrameGrid(16_000, stride, 400)
    result = table([starts for starts, _ in batch], [frames for _, frames in batch], grid)
    for i, (_, frames) in enumerate(batch):
        a, b = result.word_offsets[i : i + 2]
        pieces = [(0, result.lead[i]), *zip(result.starts[a:b], result.stops[a:b], strict=True)]
        assert [f for x, y in pieces for f in range(x, y)] == list(range(frames))
        assert all(x <= y for x, y in pieces)


@given(utterances)
def test_the_table_of_an_utterance_does_not_depend_on_its_neighbours(batch):
    together = table([starts for starts, _ in batch], [frames for _, frames in batch])
    for i, (starts, frames) in enumerate(batch):
        a, b = together.word_offsets[i : i + 2]
        alone = table([starts], [frames])
        assert together.starts[a:b].tolist() == alone.starts.tolist()
        assert together.stops[a:b].tolist() == alone.stops.tolist()


@pytest.mark.parametrize("hours", [1, 10])
def test_spans_do_not_drift_over_hours(hours):
    """An extractor with lost frames at each chunk border would shift words to wrong units."""
    seconds = np.arange(0, 3600 * hours, 0.5)
    n_frames = GRID.num_frames(3600 * hours * 16_000)
    result = table([seconds.tolist()], [n_frames])
    assert np.abs(result.starts * 0.02 - seconds).max() <= 0.02
    assert result.starts[-1] == round(seconds[-1] * 50)
