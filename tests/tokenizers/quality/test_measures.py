"""Bandwidth, clipping and signal-to-noise ratio: signals with known values, and any division into blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import butter, sosfiltfilt

from speechprep.tokenizers.quality.measures import WINDOW, Bandwidth, Clipping, SignalToNoise


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(n) * 0.1).astype(np.float32)


def parts(samples: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(samples, sorted(cut % (len(samples) + 1) for cut in cuts))


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_the_bandwidth_is_the_edge_of_a_low_pass(rate: int, share: float):
    spectrum = np.fft.rfft(noise(20 * WINDOW))
    spectrum[round(share * len(spectrum)) :] = 0
    measure = Bandwidth(rate)
    measure.add(np.fft.irfft(spectrum).astype(np.float32))
    assert measure.hertz() == pytest.approx(share * rate / 2, abs=8 * rate / WINDOW)  # the window spreads an edge


def test_upsampled_audio_has_the_bandwidth_of_its_source():
    import soxr

    wide, narrow = Bandwidth(16_000), Bandwidth(16_000)
    wide.add(noise(50_000))
    narrow.add(soxr.resample(noise(25_000), 8000, 16_000))
    assert wide.hertz() == 8000
    assert 3500 < narrow.hertz() < 4400


@pytest.mark.parametrize("level", [1.0, 0.5])
@pytest.mark.parametrize("above", [0.0, 0.01, 0.1])
def test_the_share_of_clipped_samples(level: float, above: float):
    """A sine that is cut at its quantile, also if it was made softer afterwards."""
    sine = np.sin(np.arange(100_000) * 0.003)
    limit = np.quantile(np.abs(sine), 1 - above)
    clipped = (np.clip(sine, -limit, limit) / limit * level).astype(np.float32)
    measure = Clipping()
    measure.add(clipped)
    expected = np.mean(np.abs(clipped) >= 0.99 * level) if level == 1.0 else above
    assert measure.share() == pytest.approx(expected, abs=0.002)


def test_silence_and_quiet_steps_are_not_clipped():
    for signal in (np.zeros(1000), np.full(1000, 0.1), np.tile([0.9, -0.9], 500)):
        measure = Clipping()
        measure.add(signal.astype(np.float32))
        assert measure.share() == 0
    assert Clipping().share() is None
    assert Bandwidth(8000).hertz() is None
    assert SignalToNoise().decibels() is None


@pytest.mark.parametrize("ratio", [-5.0, 0.0, 10.0, 20.0, 40.0])
def test_the_signal_to_noise_ratio_of_bursts(ratio: float):
    """Half of the frames are bursts in noise: the measure finds them."""
    frames = noise(480 * 400, 1).reshape(400, 480).astype(np.float64)
    speech = np.arange(400) % 4 < 2
    frames[speech] += noise(480 * 200, 2).reshape(200, 480) * 10 ** (ratio / 20)
    measure = SignalToNoise()
    measure.add(np.mean(frames**2, axis=1), speech)
    assert measure.decibels() == pytest.approx(ratio, abs=1.0)
    assert measure.speech_share() == 0.5


@given(st.lists(st.integers(0, 1 << 20), max_size=6), st.integers(0, 6000), st.integers(0, 9))
def test_blocks_of_any_length_give_the_same_values(cuts: list[int], n: int, seed: int):
    samples = np.round(np.clip(noise(n, seed) * 12, -1, 1) * 4).astype(np.float32) / 4  # with runs of equal samples
    values = []
    for blocks in ([samples], parts(samples, cuts)):
        bandwidth, clipping = Bandwidth(16_000), Clipping()
        for block in blocks:
            bandwidth.add(block)
            clipping.add(block)
        values.append((bandwidth.hertz(), clipping.share()))
    assert values[0] == values[1]


@given(st.lists(st.floats(-1, 1, width=16), max_size=40), st.lists(st.integers(0, 40), max_size=3))
def test_clipping_is_a_count_of_runs(samples: list[float], cuts: list[int]):
    levels = [np.sign(x) if abs(x) >= 0.99 else x for x in np.float32(samples)]
    clipped = 0
    for i, level in enumerate(levels):
        first, last = i, i
        while first > 0 and levels[first - 1] == level:
            first -= 1
        while last < len(levels) - 1 and levels[last + 1] == level:
            last += 1
        clipped += abs(level) >= 0.25 and last - first >= 2
    measure = Clipping()
    for block in parts(np.array(samples, np.float32), cuts):
        measure.add(block)
    assert measure.share() == (clipped / len(samples) if samples else None)


def test_a_filtered_tone_below_the_edge_is_outside():
    low = sosfiltfilt(butter(8, 2000, fs=16_000, output="sos"), noise(60_000)).astype(np.float32)
    measure = Bandwidth(16_000)
    measure.add(low)
    assert 2000 < measure.hertz() < 4000
