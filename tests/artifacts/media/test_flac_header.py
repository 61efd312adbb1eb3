"""FLAC headers that are read without libsndfile, damaged ones included, are those that libsndfile reads."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from speechprep.artifacts.media.header import plain_header


def flac(channels: int = 2, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (700, channels))
    soundfile.write(buffer, samples, 44_100, format="FLAC", subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize("place", range(42))
def test_a_damaged_flac_header_is_never_read_otherwise_than_by_the_library(place):
    """Bytes 0 to 41 are the marker, the head of the first block and STREAMINFO; each takes many values."""
    whole = flac()
    for value in sorted({0, 1, 2, 7, 8, 15, 16, 127, 128, 255, *(whole[place] ^ (1 << bit) for bit in range(8))}):
        data = bytearray(whole)
        data[place] = value
        found = plain_header(bytes(data[:512]), len(data))
        if found is None:
            continue
        info = soundfile.info(io.BytesIO(bytes(data)))
        assert found == (info.frames, info.samplerate, info.channels)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_whole_flac_headers_are_read(channels, subtype):
    data = flac(channels, subtype)
    info = soundfile.info(io.BytesIO(data))
    assert (
        plain_header(data[:512], len(data)) == (info.frames, info.samplerate, info.channels) == (700, 44_100, channels)
    )
