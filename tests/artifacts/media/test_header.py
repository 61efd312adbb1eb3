"""Headers that are answered without libsndfile are answered as it would."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.artifacts.media.header import plain_header


def encoded(format: str, subtype: str, frames: int, rate: int = 16_000, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((frames, channels)), rate, format=format, subtype=subtype)
    return buffer.getvalue()


@settings(max_examples=60)
@given(
    st.sampled_from([("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")]),
    st.integers(1, 5000),
    st.sampled_from([8000, 11_025, 16_000, 44_100, 96_000]),
    st.integers(1, 8),
)
def test_plain_files_are_answered(kind: tuple[str, str], frames: int, rate: int, channels: int):
    data = encoded(*kind, frames, rate, channels)
    assert plain_header(data[:512], len(data)) == (frames, rate, channels)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAVEX", "PCM_16"), ("AIFF", "PCM_16"), ("OGG", "VORBIS")],
)
def test_all_other_files_are_left_to_the_library(format: str, subtype: str):
    data = encoded(format, subtype, 100)
    assert plain_header(data[:512], len(data)) is None


def test_a_wav_without_samples_or_without_its_end_is_left_to_the_library():
    empty, data = encoded("WAV", "PCM_16", 0), encoded("WAV", "PCM_16", 100)
    assert plain_header(empty, len(empty)) is None
    assert plain_header(data[:100], 100) is None
    assert plain_header(data[:20], 20) is None


@settings(max_examples=300)
@given(st.integers(0, 43), st.integers(0, 255))
def test_a_damaged_wav_header_is_never_answered_otherwise_than_by_the_library(place: int, value: int):
    data = bytearray(encoded("WAV", "PCM_16", 500, channels=2))
    data[place] = value
    found = plain_header(bytes(data[:512]), len(data))
    if found is not None:
        info = soundfile.info(io.BytesIO(bytes(data)))
        assert found == (info.frames, info.samplerate, info.channels)
