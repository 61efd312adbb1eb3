"""Seconds, samples and frames agree, for every extractor's grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts.timebase import FrameGrid, num_samples, seconds

HUBERT = FrameGrid(16000, 320, 400)
WHISPER = FrameGrid(16000, 320, 320, padded=True)
MFCC = FrameGrid(16000, 160, 400)
GRIDS = st.sampled_from([HUBERT, WHISPER, MFCC, FrameGrid(22050, 256, 1024)])


@pytest.mark.parametrize(
    ("grid", "samples", "frames"),
    [
        (HUBERT, 16000, 49),  # not 50: the conv stack needs 400 samples
        (HUBERT, 399, 0),
        (HUBERT, 400, 1),
        (HUBERT, 720, 2),
        (HUBERT, 3600 * 16000, 179_999),
        (WHISPER, 16000, 50),
        (WHISPER, 16001, 51),
        (WHISPER, 0, 0),
        (MFCC, 16000, 98),
    ],
)
def test_frame_counts_are_those_of_the_extractors(grid, samples, frames):
    assert grid.num_frames(samples) == frames


@given(GRIDS, st.integers(0, 10**7))
def test_every_frame_fits_and_one_more_would_not(grid, n):
    frames = grid.num_frames(n)
    if grid.padded:
        assert (frames - 1) * grid.stride < n <= frames * grid.stride or frames == n == 0
    else:
        assert frames == 0 or (frames - 1) * grid.stride + grid.window <= n
        assert frames * grid.stride + grid.window > n


@given(GRIDS, st.integers(0, 10**6))
def test_the_start_of_a_frame_lies_in_that_frame(grid, frame):
    assert grid.frame_at(grid.start(frame), 10**9) == frame
    assert grid.frames_at(np.array([grid.start(frame)]))[0] == frame


@given(GRIDS, st.lists(st.floats(0, 3600), min_size=2, max_size=20))
def test_later_times_are_in_later_or_equal_frames(grid, times):
    frames = grid.frames_at(np.array(sorted(times)))
    assert (np.diff(frames) >= 0).all()


@given(st.integers(0, 10**9), st.sampled_from([8000, 16000, 22050, 44100, 48000]))
def test_samples_survive_the_way_through_seconds(n, rate):
    assert num_samples(seconds(n, rate), rate) == n


def test_a_grid_comes_back_from_a_manifest():
    assert FrameGrid(**MFCC.as_dict()) == MFCC
    assert MFCC.rate == 100
