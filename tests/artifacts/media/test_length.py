"""The whole of a file is read where its header gives an estimate, the first part only, or nothing."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from speechprep.artifacts.media.audio import decode, probe
from speechprep.artifacts.media.length import is_chained_ogg, mpeg_seconds

RATE = 16_000
NOISE = np.random.default_rng(0).uniform(-0.3, 0.3, 4 * RATE)


def encoded(format: str, subtype: str | None = None, samples: np.ndarray = NOISE, **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=format, subtype=subtype, **options)
    return buffer.getvalue()


def without_info(mp3: bytes) -> bytes:
    """The frames of an MP3 without the first, which states the length."""
    at = next(
        i
        for i in range(100, len(mp3))
        if mp3[i] == 0xFF and mp3[i + 1] == mp3[1] and mp3[i + 2] & 0x0C == mp3[2] & 0x0C
    )
    return mp3[at:]


MP3 = encoded("MP3")
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 20_024, 1, 1 << 31) + bytes(8) + b"\xff\xd8cover" * 2857


@pytest.mark.parametrize("again", [1, 2, 3])
def test_joined_mp3_files_are_read_to_the_end(again: int):
    pytest.importorskip("av")
    joined = MP3 * again
    assert probe(joined).duration == pytest.approx(4 * again, abs=0.15 * again)
    assert len(decode(joined)) == pytest.approx(4 * again * RATE, abs=0.15 * again * RATE)


def test_a_tag_behind_an_mp3_without_a_stated_length_adds_nothing():
    pytest.importorskip("av")
    bare = without_info(MP3)
    assert probe(bare + APE).duration == pytest.approx(probe(bare).duration, abs=0.1)
    assert len(decode(bare + APE)) == pytest.approx(4 * RATE, abs=0.2 * RATE)


def test_frames_are_counted_and_a_stated_length_is_seen():
    seconds, stated = mpeg_seconds(io.BytesIO(MP3))
    assert seconds == pytest.approx(4, abs=0.2)
    assert stated == pytest.approx(seconds)
    assert mpeg_seconds(io.BytesIO(without_info(MP3)))[1] is None
    assert mpeg_seconds(io.BytesIO(b"")) == (0.0, None)
    assert mpeg_seconds(io.BytesIO(np.random.default_rng(0).bytes(50_000)))[0] < 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("duration", [0.5, 1.0, 3.3])
def test_delay_and_padding_of_the_encoder_are_not_audio(rate: int, duration: float):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(int(rate * duration)) / 9) / 2, rate, format="MP3")
    assert probe(buffer.getvalue()).duration == pytest.approx(duration, abs=1e-6)


def test_chained_ogg_streams_are_read_to_the_end():
    pytest.importorskip("av")
    one = encoded("OGG", "VORBIS")
    assert not is_chained_ogg(io.BytesIO(one))
    assert is_chained_ogg(io.BytesIO(one * 2))
    assert len(decode(one * 2)) == pytest.approx(8 * RATE, abs=0.2 * RATE)


def test_a_wav_with_a_data_size_of_0_is_read_to_the_end():
    pytest.importorskip("av")
    wav = bytearray(encoded("WAV", "PCM_16"))
    wav[4:8] = wav[40:44] = bytes(4)
    assert probe(bytes(wav)).duration == 4.0
    assert np.abs(decode(bytes(wav)) - NOISE).max() < 1e-4


SEEKLESS = [("WAV", "GSM610"), ("AIFF", "GSM610"), ("AU", "G721_32"), ("WAV", "G721_32")]


@pytest.mark.parametrize(("format", "subtype"), SEEKLESS)
def test_codecs_without_seek_are_decoded_from_any_offset(format: str, subtype: str):
    if not soundfile.check_format(format, subtype):
        pytest.skip(f"libsndfile does not write {subtype} in {format}")
    data = encoded(format, subtype, NOISE[:RATE])
    whole = decode(data)
    assert len(whole) >= RATE
    assert np.array_equal(decode(data, 0.25, 0.5), whole[RATE // 4 : RATE * 3 // 4])
