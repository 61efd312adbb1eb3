"""Decoding: what is asked for, in bounded memory, and a reason for whatever cannot be decoded."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechprep.artifacts.media import audio, sndfile
from speechprep.errors import BadInput

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE, hz: float = 220.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE, format: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def refusal(source: audio.Source, **segment: float) -> BadInput:
    with pytest.raises(BadInput) as caught:
        audio.decode(source, **segment)
    return caught.value


def endless_flac(samples: np.ndarray) -> bytes:
    """A FLAC stream as a pipe leaves it: no length in its header."""
    data = bytearray(encoded(samples, format="FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize(
    ("format", "subtype", "error"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-7),
        ("WAV", "PCM_U8", 2e-2),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 1e-7),
        ("WAV", "ULAW", 5e-2),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.1),
        ("MP3", "MPEG_LAYER_III", 0.1),
        ("AIFF", "PCM_16", 1e-4),
        ("NIST", "PCM_16", 1e-4),
    ],
)
def test_every_format_gives_the_samples_back(tmp_path: Path, format: str, subtype: str, error: float):
    samples = tone()
    data = encoded(samples, format=format, subtype=subtype)
    path = tmp_path / "named.wrongly"
    path.write_bytes(data)
    assert audio.probe(data) == audio.AudioInfo(1.0, RATE, 1, RATE)
    assert audio.probe(str(path)) == audio.probe(path) == audio.probe(data)
    found = audio.decode(str(path))
    assert found.dtype == np.float32
    assert found.shape == samples.shape
    assert np.abs(found - samples).max() <= error
    np.testing.assert_array_equal(found, audio.decode(data))
    with path.open("rb") as file:
        np.testing.assert_array_equal(found, audio.decode(file))


@settings(max_examples=30)
@given(st.integers(0, RATE - 1), st.integers(1, RATE), st.sampled_from(["WAV", "FLAC", "OGG"]))
def test_a_segment_is_a_slice_of_the_whole(start: int, length: int, format: str):
    data = encoded(tone(1.0) + 0.1, format=format)
    length = min(length, RATE - start)
    whole = audio.decode(data)
    part = audio.decode(data, offset=start / RATE, duration=length / RATE)
    np.testing.assert_array_equal(part, whole[start : start + length])


@settings(max_examples=30)
@given(st.integers(1, 30_000), st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000]))
def test_resampling_gives_the_rounded_number_of_samples_and_those_of_soxr(n: int, rate: int):
    samples = np.random.default_rng(n).uniform(-0.4, 0.4, n).astype(np.float32)
    found = audio.decode(encoded(samples, rate, subtype="FLOAT"), sample_rate=RATE)
    assert abs(len(found) - n * RATE / rate) <= 0.5
    np.testing.assert_array_equal(found, soxr.resample(samples, rate, RATE, quality="HQ"))


def test_blocks_are_the_whole_in_pieces(monkeypatch: pytest.MonkeyPatch):
    data = encoded(np.stack([tone(2.0, 22_050), -0.3 * tone(2.0, 22_050)], axis=1), 22_050)
    whole = audio.decode(data, sample_rate=RATE)
    monkeypatch.setattr(sndfile, "BLOCK_SECONDS", 0.07)
    blocks = list(audio.decode_blocks(data, sample_rate=RATE))
    assert len(blocks) > 20
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_channels_are_averaged():
    left, right = tone(hz=220), tone(hz=330)
    found = audio.decode(encoded(np.stack([left, right], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(found, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("channels", [2, 8, 32])
def test_one_live_channel_among_silent_ones_is_not_taken_for_cancellation(channels: int):
    samples = np.zeros((RATE, channels), np.float32)
    samples[:, 1] = tone()
    found = audio.decode(encoded(samples, subtype="FLOAT"))
    np.testing.assert_allclose(found, tone() / channels, atol=1e-6)


def test_antiphase_channels_give_the_louder_one_instead_of_silence():
    found = audio.decode(encoded(np.stack([0.9 * tone(), -tone()], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(found, -tone(), atol=1e-6)


def test_floats_beyond_full_scale_are_divided_by_their_peak():
    found = audio.decode(encoded(16 * tone(), subtype="FLOAT"))
    assert np.abs(found).max() == 1
    np.testing.assert_allclose(found, tone() / np.abs(tone()).max(), atol=1e-6)


def test_overshoot_of_the_resampler_is_clipped():
    square = np.sign(tone(hz=440, rate=44_100)).astype(np.float32)
    assert np.abs(soxr.resample(square, 44_100, RATE)).max() > 1
    assert np.abs(audio.decode(encoded(square, 44_100), sample_rate=RATE)).max() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_with_its_place(value: float):
    samples = tone()
    samples[8000] = value
    data = encoded(samples, subtype="FLOAT")
    error = refusal(data)
    assert error.code == "audio_not_finite"
    assert "0.500 s" in str(error)
    assert np.isfinite(audio.decode(data, duration=0.4)).all()


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "audio_empty", "0 bytes"),
        (encoded(np.zeros(0, np.float32)), "audio_empty", "no samples"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "audio_unreadable", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>404", "audio_unreadable", "download failed"),
        (b"just some words\n", "audio_unreadable", "plain text"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio_unreadable", "damaged header"),
        (b"fLaC\0\0", "audio_unreadable", "damaged header"),
        (b"PK\x03\x04rest", "audio_unreadable", "zip"),
        (bytes(range(128, 256)), "audio_unreadable", "no known format"),
    ],
)
def test_what_is_no_audio_is_named(data: bytes, code: str, words: str):
    with pytest.raises(BadInput, match=words) as caught:
        audio.probe(data)
    assert caught.value.code == code


def test_an_implausible_rate_is_refused():
    data = bytearray(encoded(tone()))
    data[24:28] = struct.pack("<I", 1_092_676)
    assert refusal(bytes(data)).code == "audio_rate"


@pytest.mark.parametrize("place", ["missing.wav", ".", "pipe", "nul\0byte"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, place: str):
    os.mkfifo(tmp_path / "pipe")
    error = refusal(f"{tmp_path}/{place}")
    assert error.code == ("audio_missing" if place == "missing.wav" else "audio_unreadable")


def test_a_header_that_promises_gigabytes_costs_no_memory():
    data = bytearray(encoded(tone()))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    audio.decode(bytes(data))  # imports are not what is measured
    tracemalloc.start()
    found = audio.decode(bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == RATE
    assert peak < 4 << 20


def test_a_header_that_claims_days_is_refused():
    data = bytearray(encoded(tone(), format="FLAC"))
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    with pytest.raises(BadInput, match="claims") as caught:
        audio.probe(bytes(data))
    assert caught.value.code == "audio_corrupt"


@pytest.mark.parametrize("seconds", [0.3, 1.0, 12.3])
def test_a_flac_without_a_length_is_read_to_its_last_sample(seconds: float):
    samples = tone(seconds)
    data = endless_flac(samples)
    assert audio.probe(data).frames == len(samples)
    whole = audio.decode(encoded(samples, format="FLAC"))
    np.testing.assert_array_equal(audio.decode(data), whole)
    np.testing.assert_array_equal(audio.decode(data, offset=0.1, duration=0.15), whole[1600:4000])


@pytest.mark.parametrize("format", ["FLAC", "MP3"])
def test_a_file_cut_in_half_is_refused_not_shortened(format: str):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 3 * RATE).astype(np.float32)
    data = encoded(noise, format=format)
    assert refusal(data[: len(data) // 2]).code in ("audio_corrupt", "audio_truncated")


def test_a_wav_cut_in_half_is_as_long_as_what_is_there():
    data = encoded(tone())
    assert audio.probe(data[: 44 + RATE]).duration == pytest.approx(0.5)
    assert len(audio.decode(data[: 44 + RATE])) == RATE // 2


@pytest.mark.parametrize(("offset", "duration"), [(1.0, None), (1.5, 0.1), (-0.1, 0.5), (0.5, 0.7), (0.2, 0.0)])
def test_a_segment_outside_of_its_file_is_refused(offset: float, duration: float | None):
    with pytest.raises(BadInput, match="not inside") as caught:
        audio.decode(encoded(tone()), offset, duration)
    assert caught.value.code == "segment_outside"


def test_a_small_overhang_is_cut():
    assert len(audio.decode(encoded(tone()), 0.5, 0.55)) == RATE // 2


def test_a_second_of_a_four_hour_file_costs_a_second_of_memory(tmp_path: Path):
    path = tmp_path / "long.wav"
    frames = 4 * 3600 * RATE
    header = bytearray(encoded(np.zeros(1, np.float32))[:44])
    header[4:8], header[40:44] = struct.pack("<I", 36 + 2 * frames), struct.pack("<I", 2 * frames)
    with path.open("wb") as file:  # sparse: takes no room
        file.write(header)
        file.seek(44 + 2 * 3 * 3600 * RATE)
        file.write((tone() * 32767).astype("<i2").tobytes())
        file.truncate(44 + 2 * frames)
    audio.probe(path)
    tracemalloc.start()
    found = audio.decode(path, offset=3 * 3600, duration=1.0)
    blocks = audio.decode_blocks(path, offset=3600)
    next(blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    blocks.close()
    np.testing.assert_allclose(found, tone(), atol=1e-4)
    assert peak < 8 << 20


def test_no_descriptor_stays_open(tmp_path: Path):
    good, bad = tmp_path / "good.flac", tmp_path / "bad.flac"
    good.write_bytes(encoded(tone(), format="FLAC"))
    bad.write_bytes(good.read_bytes()[:60])
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        audio.decode(good, sample_rate=8000)
        next(audio.decode_blocks(good)).sum()
        refusal(bad)
    assert len(os.listdir("/proc/self/fd")) <= len(before)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(["WAV", "FLAC", "OGG", "AIFF", "NIST"]))
def test_damage_anywhere_gives_finite_samples_or_a_reason(data: st.DataObject, format: str):
    content = bytearray(encoded(tone(0.3), format=format))
    for _ in range(data.draw(st.integers(1, 6))):
        # Headers are short: aim there as often as at the samples.
        place = data.draw(st.one_of(st.integers(0, 127), st.integers(0, len(content) - 1)))
        content[place % len(content)] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    try:
        found = audio.decode(bytes(content), sample_rate=RATE)
    except BadInput as error:
        assert error.code.startswith(("audio_", "segment_"))  # noqa: PT017 - either outcome is right
    else:
        assert np.isfinite(found).all()
        assert np.abs(found).max(initial=0) <= 1


@pytest.mark.reference
@pytest.mark.parametrize("name", ["speech.m4a", "video.mp4"])
def test_media_containers_are_read_where_pyav_is_installed(shared_data: Path, name: str):
    pytest.importorskip("av", reason="PyAV is not installed")
    path = shared_data / "hostile" / "audio" / name
    found = audio.decode(path, sample_rate=RATE)
    speech = audio.decode(shared_data / "hostile" / "audio" / "good.wav", sample_rate=RATE)
    assert abs(len(found) - len(speech)) < 0.01 * RATE
    assert np.corrcoef(found[:38_000], speech[:38_000])[0, 1] > 0.9
    np.testing.assert_array_equal(audio.decode(path, 0.5, 1.0), found[8000:24_000])
    assert refusal(path.read_bytes()[:5000]).code == "audio_unreadable"


def test_media_containers_without_pyav_say_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    error = refusal(b"\0\0\0\x20ftypM4A " + bytes(100))
    assert error.code == "audio_format"
    assert "pip install av" in str(error)


def test_a_remote_file_is_decoded_like_a_local_one():
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://speech/tone.wav", "wb") as file:
        file.write(encoded(tone()))
    np.testing.assert_array_equal(audio.decode("memory://speech/tone.wav"), audio.decode(encoded(tone())))
    assert refusal("memory://speech/none.wav").code == "audio_missing"
