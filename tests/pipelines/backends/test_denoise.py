"""The Wiener filter before alignment: length, level, determinism, and the rule for its use."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.artifacts.media import audio
from speechprep.demo import corpus_path
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.aligners.denoise import (
    CLEAN_SPREAD,
    LEAST_GAIN,
    LEVEL_FRAME,
    LEVEL_STRIDE,
    denoised,
    level_spread,
    wiener,
)
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.noisy_alignment import with_noise
from speechprep.tokenizers.arrays.keyed_random import fixed_generator


@pytest.fixture(scope="module")
def clip():
    """(audio, transcript) of a clean clip of the demo corpus."""
    first = json.loads((corpus_path() / "manifest.jsonl").read_text().splitlines()[0])
    return audio.decode(corpus_path() / first["audio"], sample_rate=16_000), first["text"]


def noise(n: int) -> np.ndarray:
    return fixed_generator(7).standard_normal(n).astype(np.float32)


@settings(max_examples=30)
@given(st.integers(0, 5000))
def test_the_filter_keeps_the_length(n):
    filtered = wiener(0.1 * noise(n))
    assert filtered.shape == (n,)
    assert filtered.dtype == np.float32
    assert np.isfinite(filtered).all()


def test_silence_stays_silence_and_silence_in_part_is_no_error():
    assert not wiener(np.zeros(16_000, np.float32)).any()
    half = np.concatenate([np.zeros(16_000, np.float32), 0.1 * noise(16_000)])
    assert np.isfinite(wiener(half)).all()
    assert level_spread(np.zeros(16_000, np.float32)) == float("inf")
    assert level_spread(noise(LEVEL_FRAME - 1)) == float("inf")


def test_noise_is_reduced_to_the_least_gain_and_speech_comes_nearer_to_its_clean_form(clip):
    hiss = 0.1 * noise(48_000)
    gain = np.sqrt(np.mean(wiener(hiss)[8000:-8000] ** 2) / np.mean(hiss[8000:-8000] ** 2))
    assert LEAST_GAIN * 0.9 < gain < 3 * LEAST_GAIN
    clean, _ = clip
    noisy = with_noise(clean, 0.0, 0, "a")
    assert np.mean((wiener(noisy) - clean) ** 2) < 0.4 * np.mean((noisy - clean) ** 2)
    untouched = wiener(clean)
    assert np.corrcoef(untouched, clean)[0, 1] > 0.98


@settings(max_examples=20)
@given(st.floats(0.01, 100))
def test_the_gain_of_the_recording_does_not_matter(gain):
    x = with_noise(np.sin(np.arange(16_000) / 9).astype(np.float32) * (np.arange(16_000) > 8000), 5, 0, "a") * 0.01
    scaled = np.float32(gain) * x
    np.testing.assert_allclose(wiener(scaled), np.float32(gain) * wiener(x), rtol=1e-3, atol=1e-6 * gain)
    assert level_spread(scaled) == pytest.approx(level_spread(x), abs=1e-3)


def test_the_level_spread_is_that_of_a_plain_loop(clip):
    samples = clip[0].astype(np.float64) - clip[0].mean(dtype=np.float64)
    starts = range(0, len(samples) - LEVEL_FRAME + 1, LEVEL_STRIDE)
    level = [10 * np.log10(np.sum(samples[i : i + LEVEL_FRAME] ** 2)) for i in starts]
    quiet, loud = np.percentile(level, [10, 95])
    assert level_spread(clip[0]) == pytest.approx(loud - quiet, abs=1e-6)


def test_auto_leaves_clean_audio_as_it_is_and_filters_noisy_audio(clip):
    clean, text = clip
    noisy = with_noise(clean, 3.0, 0, "a")
    assert level_spread(noisy) < CLEAN_SPREAD <= level_spread(clean)
    assert denoised(clean, "auto") is clean
    assert denoised(noisy, "never") is noisy
    np.testing.assert_array_equal(denoised(noisy, "auto"), wiener(noisy))
    times = {}
    for mode in ("never", "auto", "always"):
        aligner = PocketSphinxAligner(denoise=mode)
        aligner.load()
        times[mode] = [aligner.align(samples, text) for samples in (clean, noisy)]
    assert times["auto"][0] == times["never"][0] != times["always"][0]
    assert times["auto"][1] == times["always"][1] != times["never"][1]


def test_the_mode_is_checked_and_is_part_of_the_identity():
    with pytest.raises(ConfigError, match="denoise = 'yes'; choose auto, never, always"):
        PocketSphinxAligner(denoise="yes")
    identities = [PocketSphinxAligner(denoise=mode).identity() for mode in ("auto", "never")]
    assert identities[0] != identities[1]


def test_long_noisy_audio_in_blocks_has_the_times_of_whole_audio():
    rows = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["audio"].startswith("speech/")][:5]
    clean = np.concatenate([audio.decode(corpus_path() / row["audio"], sample_rate=16_000) for row in rows])
    noisy = with_noise(clean, 10.0, 0, "a")
    assert level_spread(noisy) < CLEAN_SPREAD
    text = " ".join(row["text"] for row in rows)
    aligner = PocketSphinxAligner(window=10)
    aligner.load()
    whole = aligner.align(noisy, text)
    assert aligner.align_stream(iter(np.array_split(noisy, 37)), text) == whole
    assert len(noisy) > 2 * 10 * 16_000
    assert np.mean([word.timing == "aligned" for word in whole.words]) > 0.5
