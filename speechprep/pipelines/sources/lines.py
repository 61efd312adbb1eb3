"""Lines of text files, one at a time: plain or gzip, with or without BOM, LF or CRLF, good or bad."""

from __future__ import annotations

import builtins
import codecs
import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError

MAX_LINE = 64 << 20  # bytes of the longest line
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def open_regular(uri: str) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        OSError: an absent or unreadable file, or a pipe or device, because reading it could block without end.
    """
    if not storage.is_local(uri):
        return storage.open(uri)
    file = builtins.open(storage.local_path(uri), "rb", opener=_without_blocking)  # noqa: SIM115 - returned open
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", uri)
    return file


def _without_blocking(path: str, flags: int) -> int:
    """Opener for `open`: opening a pipe without a writer returns at once."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def open_plain(uri: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where they are gzip.

    Raises:
        ConfigError: the file cannot be opened.
    """
    try:
        raw = open_regular(uri)
    except OSError as error:
        raise ConfigError(f"cannot read {uri}: {error.strerror or error}; give a readable file") from None
    with raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield cast(IO[bytes], io.BufferedReader(unpacked))


@contextmanager
def _open_text(uri: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, as in `open_plain`; UTF-16 with a byte order mark as UTF-8."""
    with open_plain(uri) as file:
        try:
            is_utf16 = file.read(2) in _UTF16
            file.seek(0)
        except (OSError, EOFError, zlib.error):
            is_utf16 = False
        yield cast(IO[bytes], codecs.EncodedFile(file, "utf-8", "utf-16", errors="replace")) if is_utf16 else file


def decoded(data: bytes) -> str:
    """Text of a small file in UTF-8, or in UTF-16 with a byte order mark; other bytes become lone surrogates."""
    if data.startswith(_UTF16):
        return data.decode("utf-16", "surrogatepass")
    return data.decode("utf-8-sig", "surrogateescape")


def head(uri: str, size: int = 4096) -> bytes:
    """The first bytes, unpacked; fewer where the file is shorter or damaged."""
    with _open_text(uri) as file:
        try:
            return file.read(size)
        except (OSError, EOFError, zlib.error):
            return b""


def read_lines(uri: str) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line without its end), blank ones left out.

    Raises:
        BadInput: `manifest_damaged` after the last readable line.
    """
    number = 0
    with _open_text(uri) as file:
        try:
            while line := file.readline(MAX_LINE):
                number += 1
                if number == 1:
                    line = line.removeprefix(_BOM)
                if len(line) == MAX_LINE:
                    raise BadInput("manifest_damaged", f"line {number} of {uri} is longer than {MAX_LINE >> 20} MiB")
                line = line.strip(b"\r\n")
                if line.strip():
                    yield number, line
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput("manifest_damaged", f"{uri} breaks off after line {number}: {error}") from None
