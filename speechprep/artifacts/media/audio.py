"""Audio files: header facts, and decoded samples of a segment. By content, never by the name of the file.

libsndfile reads WAV, FLAC, MP3, Ogg Vorbis and Opus, AIFF, AU, NIST SPHERE and more; PyAV, where it is installed,
reads the sound of MP4, M4A, WebM, AAC and other containers. Decoding is streamed: memory holds the requested samples
and one block, for any file length and any header.

The output is float32 mono in [-1, 1] at the requested rate:

* Channels are averaged. Antiphase channels cancel: if the mean has less than a tenth of the loudest channel's share
of energy, the loudest channel is taken.
* Floating-point files may hold samples beyond full scale; such a segment is divided by its peak. Decoders of lossy
codecs and the resampler overshoot by a little; the excess is clipped.
* NaN and infinity are refused: they would spread over the whole utterance in every feature.
* Resampling is soxr's HQ; streamed and whole give the same samples. n samples become round(n * out / in).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from speechprep.artifacts import storage
from speechprep.artifacts.media.container import MediaReader, looks_like, media_kind
from speechprep.artifacts.media.header import Header, plain_header
from speechprep.artifacts.media.length import is_chained_ogg, mpeg_seconds
from speechprep.artifacts.media.sndfile import Samples, SndfileReader
from speechprep.artifacts.timebase import num_samples, seconds
from speechprep.errors import BadInput

Source = str | Path | bytes | IO[bytes]  # a URI, a path, an encoded file in memory, or a seekable open file

RATES = (1_000, 768_000)  # Hz; a header outside of this is damaged
MISSING = 0.5  # seconds that may be missing of a joined file: its tags and encoder delays
TOLERANCE = 0.1  # seconds of tolerance: end of a segment after its file, and missing end of a file
CANCELLED = 0.1  # see the module docstring
FRAMES_PER_BYTE = 8192  # digital silence in FLAC reaches 4,700; a header with more is damaged
FLAC_RATE = 655_350  # Hz, the largest rate of FLAC
_LONGEST_EMPTY_WAV = 512  # bytes: a header without samples, with some chunks of text
_HEAD = 512  # bytes for the recognition of a file


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """Facts of a header: duration in seconds, rate in Hz, channels, and frames (samples in each channel)."""

    duration: float
    sample_rate: int
    channels: int
    frames: int


Reader = SndfileReader | MediaReader


def _refuse(head: bytes, reason: str) -> BadInput:
    """Reject for bytes without a reader."""
    if not head:
        return BadInput("audio_empty", "the file has 0 bytes")
    return BadInput("audio_unreadable", f"not readable as audio ({reason}): it looks like {looks_like(head)}")


@contextmanager
def opened(source: Source) -> Iterator[IO[bytes]]:
    """The source as a seekable binary file.

    Raises:
        BadInput: `audio_missing`, or `audio_unreadable` where it is there but cannot be read.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    if not isinstance(source, str | Path):
        yield source
        return
    uri = str(source)
    try:
        with storage.remote_errors(uri):
            file = _open_regular(uri.removeprefix("file://")) if storage.is_local(uri) else storage.open(uri, "rb")
    except FileNotFoundError:
        raise BadInput("audio_missing", f"no such file: {uri}") from None
    except (OSError, ValueError) as error:
        raise BadInput("audio_unreadable", f"cannot be opened ({error}): {uri}") from None
    with file:
        yield file


def _open_regular(path: str) -> IO[bytes]:
    """Opens a regular file; a pipe or device would block or never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("not a regular file")
    return io.FileIO(handle)


def _head_and_size(file: IO[bytes]) -> tuple[bytes, int]:
    """The first bytes of a file and its size."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return file.read(_HEAD), size


def _reader(file: IO[bytes], head: bytes) -> Reader:
    """The reader of the file."""
    import soundfile

    kind = media_kind(head)
    if kind is not None:
        return MediaReader(file, kind)
    try:
        reader = SndfileReader(file)
    except soundfile.LibsndfileError as error:
        raise _refuse(head, error.error_string.strip().rstrip(".")) from None
    fault = _length_fault(file, head, reader)
    if fault is None:
        return reader
    whole, (description, expected) = MediaReader(file, fault[0], count=True), fault
    found = seconds(whole.frames, whole.sample_rate)
    if expected is not None and found < expected - MISSING:
        raise BadInput("audio_truncated", f"{description}: {expected - found:.2f} s of it cannot be decoded")
    return whole


def _length_fault(file: IO[bytes], head: bytes, reader: SndfileReader) -> tuple[str, float | None] | None:
    """Description of a file whose header gives a wrong length, and its true length in seconds if it is known.

    libsndfile would read a part of such a file only. None: the length is correct.
    """
    if reader.container in ("MP3", "MPEG"):
        true, stated = mpeg_seconds(file)
        length = seconds(reader.frames, reader.sample_rate)
        # A stated length beyond the last frame is a truncated file; its reading ends with `audio_truncated`.
        if abs(true - length) > TOLERANCE if stated is None else true > stated + TOLERANCE:
            return f"MP3 of {true:.2f} s with a header for {length:.2f} s", true
    elif head.startswith(b"OggS") and is_chained_ogg(file):
        return "Ogg of several chained streams", None
    elif head.startswith(b"RIFF") and reader.frames == 0 and file.seek(0, io.SEEK_END) > _LONGEST_EMPTY_WAV:
        return "WAV with an unfinished header (data size 0)", None
    return None


def _info(header: Header, size: int) -> AudioInfo:
    """Facts of a plausible header of a file of `size` bytes."""
    frames, rate, channels = header
    if not RATES[0] <= rate <= RATES[1]:
        raise BadInput("audio_rate", f"the header says {rate} Hz; allowed are {RATES[0]} to {RATES[1]}")
    if frames <= 0:
        raise BadInput("audio_empty", "the file holds no samples")
    if frames > size * FRAMES_PER_BYTE:
        hours = seconds(frames, rate) / 3600
        raise BadInput("audio_corrupt", f"the header claims {hours:,.0f} hours in a file of {size:,} bytes")
    return AudioInfo(seconds(frames, rate), rate, channels, frames)


def probe(source: Source) -> AudioInfo:
    """Facts of the header. Samples are decoded only for rare FLAC streams without a length.

    Raises:
        BadInput: `audio_missing`, `audio_empty`, `audio_unreadable`, `audio_format`, `audio_rate`, `audio_corrupt`.
    """
    with opened(source) as file:
        head, size = _head_and_size(file)
        return _info(plain_header(head, size) or _reader(file, head).header, size)


def clip_segment(info: AudioInfo, offset: float, duration: float | None) -> tuple[float, float]:
    """(offset, duration) of a segment inside its file; `None` is to the end, an overhang up to TOLERANCE is cut.

    Raises:
        BadInput: `segment_outside`.
    """
    end = info.duration if duration is None else offset + duration
    if not (0 <= offset < info.duration and offset < end <= info.duration + TOLERANCE):
        raise BadInput(
            "segment_outside", f"the segment {offset:g} s to {end:g} s is not inside the file's {info.duration:g} s"
        )
    return offset, min(end, info.duration) - offset


def decode(
    source: Source, offset: float = 0.0, duration: float | None = None, sample_rate: int | None = None
) -> Samples:
    """A segment as float32 mono, shape (n,), in [-1, 1]; see the module docstring.

    Args:
        source: URI, path, encoded bytes or open file.
        offset, duration: seconds; only this part is read. `None` is to the end.
        sample_rate: of the result, in Hz; `None` keeps the file's.

    Raises:
        BadInput: as `probe`, and `segment_outside`, `audio_corrupt`, `audio_truncated`, `audio_not_finite`.
    """
    blocks = list(decode_blocks(source, offset, duration, sample_rate))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def resample(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """Mono samples (n,) at another rate in Hz (soxr, HQ)."""
    return np.concatenate([*resample_blocks(iter([samples]), rate_in, rate_out)])


def decode_blocks(
    source: Source,
    offset: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    channel: int | None = None,
) -> Iterator[Samples]:
    """`decode` in blocks of about ten seconds: their concatenation is the same, memory does not grow with length.

    Args:
        source, offset, duration, sample_rate: as in `decode`.
        channel: only this channel, from 0; None: the mean of all channels.

    Raises:
        BadInput: as `decode`, and `bad_channel`.
    """
    with opened(source) as file:
        head, size = _head_and_size(file)
        reader = _reader(file, head)
        offset, duration = clip_segment(_info(reader.header, size), offset, duration)
        start = num_samples(offset, reader.sample_rate)
        stop = min(start + max(num_samples(duration, reader.sample_rate), 1), reader.frames)
        mix = _mixer(reader, start, stop, channel)
        mono = (mix(block) for block in _whole(reader, start, stop))
        resampled = resample_blocks(mono, reader.sample_rate, sample_rate or reader.sample_rate)
        for block in resampled:
            yield np.clip(block, -1.0, 1.0, out=block)


def _whole(reader: Reader, start: int, stop: int) -> Iterator[Samples]:
    """The segment's blocks, all finite, all there."""
    position = start
    for block in reader.blocks(start, stop):
        if not np.isfinite(block).all():
            bad = position + int(np.argmin(np.isfinite(block).all(axis=1)))
            raise BadInput("audio_not_finite", f"NaN or infinity at {seconds(bad, reader.sample_rate):.3f} s")
        yield block
        position += len(block)
    if position == start or seconds(stop - position, reader.sample_rate) > TOLERANCE:
        wanted, got = (seconds(n - start, reader.sample_rate) for n in (stop, position))
        raise BadInput("audio_truncated", f"the file ends early: {got:.3f} s of {wanted:.3f} s are there")


def encode_channel(source: Source, offset: float, duration: float, channel: int) -> bytes:
    """One channel of a segment as FLAC of 24 bits, at the rate of the file.

    Raises:
        BadInput: as `decode_blocks`, and `audio_rate` above the limit of FLAC.
    """
    import soundfile

    buffer, rate = io.BytesIO(), probe(source).sample_rate
    if rate > FLAC_RATE:
        raise BadInput("audio_rate", f"one channel is stored as FLAC of at most {FLAC_RATE} Hz, the file has {rate} Hz")
    with soundfile.SoundFile(buffer, "w", rate, 1, "PCM_24", format="FLAC") as file:
        for block in decode_blocks(source, offset, duration, channel=channel):
            file.write(block)
    return buffer.getvalue()


def _mixer(reader: Reader, start: int, stop: int, channel: int | None) -> Callable[[Samples], Samples]:
    """How the segment becomes mono; several channels and floating-point files are read once more to know.

    Raises:
        BadInput: `bad_channel`.
    """
    if channel is not None and channel >= reader.channels:
        raise BadInput(
            "bad_channel", f"channel {channel} of a file with {reader.channels}; channels are counted from 0"
        )
    if channel is not None and not reader.floating:
        return lambda block: np.ascontiguousarray(block[:, channel])
    if reader.channels == 1 and not reader.floating:
        return lambda block: np.ascontiguousarray(block[:, 0])
    energy = np.zeros(reader.channels)
    mean_energy = peak = 0.0
    for block in _whole(reader, start, stop):
        mean = block.mean(axis=1, dtype=np.float64)
        energy += np.square(block, dtype=np.float64).sum(axis=0)
        mean_energy += float(np.square(mean).sum())
        peak = max(peak, float(np.abs(block).max()))
    loudest = int(np.argmax(energy))
    gain = np.float32(1.0 / peak) if reader.floating and peak > 1.0 else np.float32(1.0)
    if channel is not None:
        return lambda block: block[:, channel] * gain
    if mean_energy < CANCELLED * energy[loudest] / reader.channels**2:
        return lambda block: block[:, loudest] * gain
    return lambda block: block.mean(axis=1, dtype=np.float32) * gain


def resample_blocks(blocks: Iterator[Samples], rate_in: int, rate_out: int) -> Iterator[Samples]:
    """A stream of mono samples at another rate in Hz (soxr, HQ); blocks of any length give the same samples."""
    if rate_in == rate_out:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
