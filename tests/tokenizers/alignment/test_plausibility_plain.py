"""Plausibility of word times: speech and the loudest passage equal plain loops over the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.tokenizers.alignment import plausibility

LEVELS = st.lists(st.floats(-100, 0), min_size=1, max_size=80)


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    rank = percent / 100 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def power_of(levels: list[float]) -> np.ndarray:
    return np.array([10 ** (level / 10) for level in levels], np.float32)


def smooth_levels(power: list[float]) -> list[float]:
    """Mean power of each frame and its two neighbours in dB, at most 80 dB below the largest."""
    padded = [0.0, *power, 0.0]
    means = [sum(padded[i : i + 3]) / 3 for i in range(len(power))]
    return [10 * math.log10(max(mean, max(means) * 1e-8)) for mean in means]


def oracle(power: list[float]) -> list[bool | None]:
    """True for speech; None if rounding decides."""
    levels = smooth_levels(power)
    quiet, loud = percentile(levels, 5), percentile(levels, 90)
    if abs(loud - quiet - 6) < 1e-6:
        return [None] * len(levels)
    if loud - quiet < 6:
        return [False] * len(levels)
    limit = quiet + 0.4 * (loud - quiet)
    return [None if abs(level - limit) < 1e-6 else level > limit for level in levels]


@settings(max_examples=200)
@given(LEVELS)
def test_speech_lies_between_the_5th_and_the_90th_percentile(levels):
    power = power_of(levels)
    if len(power) < 3:
        power = np.tile(power, 3)
    expected = oracle(power.tolist())
    for a, b in zip(plausibility.speech_frames(power).tolist(), expected, strict=True):
        assert b is None or a == b


@pytest.mark.parametrize("n", [101, 240])
def test_the_border_of_speech_on_a_ramp_of_levels(n):
    """A different percentile moves the border on a ramp with steps of about 0.2 dB."""
    power = power_of([-0.2 * i - 0.0003 * i * i for i in range(n)])
    result, expected = plausibility.speech_frames(power).tolist(), oracle(power.tolist())
    assert None not in expected
    assert result == expected
    assert 0.5 * n < sum(result) < 0.7 * n


@given(LEVELS)
def test_the_loudest_passage_is_the_largest_mean_of_ten_frames(levels):
    power = [float(p) for p in power_of(levels)]
    size = min(10, len(power))
    means = [math.fsum(power[i : i + size]) / size for i in range(len(power) - size + 1)]
    assert plausibility.loudest_level(power_of(levels)) == pytest.approx(10 * math.log10(max(*means, 1e-12)), abs=1e-4)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.integers(0, 12)), min_size=1, max_size=20), LEVELS)
def test_evidence_is_that_of_plain_loops(words, levels):
    starts = sorted(start for start, _, _ in words)
    ends: list[float] = []
    for start, (_, length, _) in zip(starts, words, strict=True):
        ends.append(max([start + length, *ends]))
    letters = [n for _, _, n in words]
    power = power_of(levels)
    result = plausibility.timing_evidence(starts, ends, letters, power)
    lacks = [max(0.02 * n - (end - start), 0.0) for start, end, n in zip(starts, ends, letters, strict=True)]
    size = min(8, len(words))
    assert result.squeezed == pytest.approx(max(sum(lacks[i : i + size]) for i in range(len(lacks) - size + 1)))
    too_long = [end - start - 0.12 * n if n else 0.0 for start, end, n in zip(starts, ends, letters, strict=True)]
    assert result.stretched == pytest.approx(max(too_long))
    speech = plausibility.speech_frames(power).tolist()
    edges = [(None, starts[0]), *zip(ends[:-1], starts[1:], strict=True), (ends[-1], None)]
    assert result.uncovered == pytest.approx(max(speech_between(speech, a, b) for a, b in edges))


def speech_between(speech: list[bool], end: float | None, start: float | None) -> float:
    """Seconds of speech from 3 frames after a word's end to 3 frames before the next word's start."""
    first = 0 if end is None else round(end / 0.01) + 3
    stop = len(speech) if start is None else round(start / 0.01) - 3
    return 0.01 * sum(flag for i, flag in enumerate(speech) if first <= i < stop)


@pytest.mark.parametrize(("n", "lacking"), [(7, 7), (8, 8), (9, 8), (20, 8)])
def test_the_lack_of_room_of_eight_neighbours_is_added_up(n, lacking):
    """A word of five letters without any room lacks a tenth of a second."""
    result = plausibility.timing_evidence([1.0] * n, [1.0] * n, [5] * n, np.zeros(300, np.float32))
    assert result.squeezed == pytest.approx(0.1 * lacking)
