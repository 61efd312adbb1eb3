"""Recognition of files by their first bytes, and sound of media containers through PyAV (an optional package)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.media.header import Header
from speechprep.errors import BadInput

_TEXT = bytes({*range(32, 127), 9, 10, 13})


def looks_like(head: bytes) -> str:
    """Description of a file by its first bytes, with a remedy."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "a git LFS pointer, not the file itself; run: git lfs pull"
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")):
        return "an HTML or XML page: the download failed"
    kind = media_kind(head)
    if kind:
        return kind
    for magic, name in (
        (b"RIFF", "a WAV file with a damaged header"),
        (b"RIFX", "a WAV file with a damaged header"),
        (b"RF64", "a WAV file with a damaged header"),
        (b"fLaC", "a FLAC file with a damaged header"),
        (b"OggS", "an Ogg file with a damaged header"),
        (b"ID3", "an MP3 file without sound"),
        (b"NIST_1A", "a NIST SPHERE file of a kind that libsndfile does not read (shorten); convert it with sph2pipe"),
        (b"PK\x03\x04", "a zip archive; unpack it first"),
        (b"\x1f\x8b", "a gzip file; unpack it first"),
        (b"%PDF", "a PDF document"),
    ):
        if head.startswith(magic):
            return name
    if head and not head.translate(None, _TEXT):
        return "plain text"
    return "no known format"


def media_kind(head: bytes) -> str | None:
    """Name of a container for PyAV; None for files of libsndfile and for unknown files."""
    if head[4:8] == b"ftyp":
        return "MP4/M4A (AAC or video)"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return "QuickTime"
    if head[:1] == b"G" == head[188:189]:
        return "MPEG transport stream"
    for magic, name in (
        (b"\x1a\x45\xdf\xa3", "WebM/Matroska"),
        (b"\x30\x26\xb2\x75", "ASF/WMA"),
        (b"#!AMR", "AMR"),
        (b"FLV\x01", "FLV"),
        (b"\x00\x00\x01\xba", "MPEG program stream"),
        (b"wvpk", "WavPack"),
        (b"MAC ", "Monkey's Audio"),
        (b"TTA1", "True Audio"),
    ):
        if head.startswith(magic):
            return name
    # ADTS: 12 bits of sync, layer 0 (MPEG audio layers 1 to 3 are libsndfile's).
    return "AAC (ADTS)" if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0 else None


class MediaReader:
    """The first sound track of a media file, decoded by PyAV at its own rate."""

    floating = True  # AAC and similar codecs are decoded to float

    def __init__(self, file: IO[bytes], kind: str, *, count: bool = False) -> None:
        """`kind`: description of the file, for example by `media_kind`. `count`: the header is wrong, so that all is
        decoded to count the frames.

        Raises:
            BadInput: `audio_format` without PyAV or without sound, `audio_unreadable` where PyAV cannot read it.
        """
        self._file = file
        self._kind = kind
        self._tags_inside = count
        with self._open() as container:
            if not container.streams.audio:
                raise BadInput("audio_format", f"{kind} without a sound track")
            track = container.streams.audio[0]
            self.sample_rate: int = track.rate or 0
            self.channels: int = track.codec_context.channels or 0
            if count:
                self.frames = sum(len(block) for block in self.blocks(0, 1 << 62))
            elif track.duration is not None:
                self.frames = round(track.duration * track.time_base * self.sample_rate)
            elif container.duration is not None:  # microseconds
                self.frames = round(container.duration * self.sample_rate / 1_000_000)
            else:
                self.frames = sum(len(block) for block in self.blocks(0, 1 << 62))

    @property
    def header(self) -> Header:
        """Frames, rate and channels."""
        return self.frames, self.sample_rate, self.channels

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            import av
        except ImportError:
            raise BadInput(
                "audio_format", f"{self._kind} needs PyAV (pip install av), or convert it: ffmpeg -i IN -ac 1 OUT.flac"
            ) from None
        self._file.seek(0)
        try:
            container = av.open(self._file, mode="r")
        except av.FFmpegError as error:
            raise BadInput("audio_unreadable", f"{self._kind}, damaged: {error.strerror}") from None
        with container:
            yield container

    def _frames(self, container: Any) -> Iterator[Any]:
        """Decoded frames; in a file with a wrong header, packets of tags between the frames are skipped."""
        import av

        track = container.streams.audio[0]
        if not self._tags_inside:
            yield from container.decode(track)
            return
        for packet in container.demux(track):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue
            yield from frames

    def blocks(self, start: int, stop: int) -> Iterator[NDArray[np.float32]]:
        """Samples [start, stop) as (frames, channels) blocks; ends early where the file does.

        Each read decodes from the beginning with a new decoder. Containers have no seek to a sample, and AAC's noise
        substitution depends on all earlier packets.
        """
        import av

        resampler = av.AudioResampler(format="fltp", rate=self.sample_rate)
        position = 0
        try:
            with self._open() as container:
                for frame in self._frames(container):
                    for part in resampler.resample(frame):
                        block = part.to_ndarray().T
                        first, last = max(start - position, 0), min(stop - position, len(block))
                        if first < last:
                            yield np.ascontiguousarray(block[first:last])
                        position += len(block)
                    if position >= stop:
                        return
        except av.FFmpegError as error:
            raise BadInput(
                "audio_corrupt", f"{self._kind}: damaged at {position / self.sample_rate:.2f} s: {error.strerror}"
            ) from None
