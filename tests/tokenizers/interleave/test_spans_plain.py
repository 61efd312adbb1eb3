"""Span tables of a batch equal a loop over words and frames."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.arrays.ragged import offsets_of
from speechprep.tokenizers.interleave.spans import span_table

GRID = FrameGrid(sample_rate=16_000, stride=320, window=400)  # a frame is 20 ms
UTTERANCE = st.tuples(st.lists(st.integers(-50, 2500), max_size=8), st.integers(0, 100))  # starts in ms, frames


def owners(starts: list[int], n_frames: int) -> list[int]:
    """The word of each frame: the last word with a start in or before the frame; -1 for the leading gap."""
    raised: list[int] = []
    for start in starts:
        raised.append(max([start // 20, 0, *raised]))
    return [max((i for i, first in enumerate(raised) if first <= frame), default=-1) for frame in range(n_frames)]


@given(st.lists(UTTERANCE, max_size=6))
def test_every_frame_belongs_to_the_last_word_that_has_started(batch):
    offsets = offsets_of(np.array([len(starts) for starts, _ in batch], np.int64))
    seconds = np.array([start / 1000 for starts, _ in batch for start in starts], np.float64)
    table = span_table(seconds, offsets, np.array([n for _, n in batch], np.int64), GRID)
    for i, (starts, n_frames) in enumerate(batch):
        result = [-1] * n_frames
        for word, w in enumerate(range(int(offsets[i]), int(offsets[i + 1]))):
            for frame in range(int(table.starts[w]), int(table.stops[w])):
                assert result[frame] == -1, "no frame has two words"
                result[frame] = word
        assert result == owners(starts, n_frames)
        assert table.lead[i] == result.count(-1)
