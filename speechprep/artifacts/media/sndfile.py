"""Samples of one file through libsndfile, robust against damaged files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.media.header import Header
from speechprep.errors import BadInput

Samples = NDArray[np.float32]

BLOCK_SECONDS = 10.0  # of one decoded block
BLOCK_SAMPLES = 1 << 23  # of all its channels together, at most
_UNKNOWN = 1 << 62  # libsndfile's frame count where a streamed FLAC does not say
_AT_END = 39  # libsndfile's error at the end of a FLAC without a length


class _Steady:
    """A file for libsndfile's callbacks. No exception may leave a callback, so an error is kept for later."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.failure: OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            self.failure = error
            return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        # A damaged header may lead to before the start or beyond all numbers; the position then stays.
        with suppress(ValueError, OverflowError, OSError):
            return self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


class SndfileReader:
    """A file read by libsndfile."""

    def __init__(self, file: IO[bytes]) -> None:
        # By descriptor libsndfile reads without calling back into Python.
        self._file = file if isinstance(file, io.FileIO) else _Steady(file)
        with self._open() as sound:
            self.sample_rate: int = sound.samplerate
            self.channels: int = sound.channels
            self.floating: bool = sound.subtype in ("FLOAT", "DOUBLE")
            self.frames: int = sound.frames
            self.container: str = sound.format
            self._seekable: bool = sound.seekable()
        self._endless = not 0 <= self.frames < _UNKNOWN
        if self._endless:
            self.frames = sum(len(block) for block in self.blocks(0, _UNKNOWN))

    @property
    def header(self) -> Header:
        """Frames, rate and channels."""
        return self.frames, self.sample_rate, self.channels

    def _open(self) -> Any:
        import soundfile

        self._file.seek(0)
        handle = self._file.fileno() if isinstance(self._file, io.FileIO) else self._file
        try:
            return soundfile.SoundFile(handle, closefd=False)
        finally:
            self._check()

    def _check(self) -> None:
        if isinstance(self._file, _Steady) and self._file.failure is not None:
            raise BadInput("audio_unreadable", f"reading failed: {self._file.failure}")

    def blocks(self, start: int, stop: int) -> Iterator[Samples]:
        """Samples [start, stop) as (frames, channels) blocks; ends early where the file does."""
        import soundfile

        try:
            yield from self._read(start, stop)
        except soundfile.LibsndfileError as error:
            raise BadInput(
                "audio_corrupt", f"the file is damaged: {error.error_string or 'the decoder gave up'}"
            ) from None

    def _read(self, start: int, stop: int) -> Iterator[Samples]:
        size = max(min(round(BLOCK_SECONDS * self.sample_rate), BLOCK_SAMPLES // self.channels), 1)
        with self._open() as sound:
            # A FLAC without a length and telephony codecs have no seek: samples before the segment are dropped.
            position = 0 if self._endless or not self._seekable else sound.seek(start)
            while position < stop:
                block = self._fill(sound, min(size, stop - position))
                if not len(block):
                    return
                if position + len(block) > start:
                    yield block[max(start - position, 0) :]
                position += len(block)

    def _fill(self, sound: Any, size: int) -> Samples:
        """The next block; empty at the end."""
        import soundfile

        block = np.empty((size, self.channels), np.float32)
        if not self._endless:
            got = len(sound.read(out=block))
            self._check()
            return block[:got]
        block.fill(np.nan)
        try:
            sound.read(out=block)
        except soundfile.LibsndfileError as error:
            if error.code != _AT_END:
                raise
        # At the end the samples are complete, but soundfile raises: count the written samples.
        unwritten = np.isnan(block[:, 0])
        return block[: int(np.argmax(unwritten))] if unwritten.any() else block
