"""Lines of text files, one at a time: plain or gzip, with or without BOM, LF or CRLF, good or bad."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError

MAX_LINE = 64 << 20  # bytes of the longest line
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_plain(uri: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where they are gzip.

    Raises:
        ConfigError: the file cannot be opened.
    """
    try:
        raw = storage.open(uri)
    except OSError as error:
        raise ConfigError(f"cannot read {uri}: {error.strerror or error}") from None
    with raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield cast(IO[bytes], io.BufferedReader(unpacked))


def head(uri: str, size: int = 4096) -> bytes:
    """The first bytes, unpacked; fewer where the file is shorter or damaged."""
    with open_plain(uri) as file:
        try:
            return file.read(size)
        except (OSError, EOFError, zlib.error):
            return b""


def read_lines(uri: str) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line without its end), blank ones left out.

    Raises:
        ConfigError: the file is UTF-16.
        BadInput: `manifest_damaged` after the last readable line.
    """
    number = 0
    with open_plain(uri) as file:
        try:
            while line := file.readline(MAX_LINE):
                number += 1
                if number == 1:
                    if line.startswith(_UTF16):
                        raise ConfigError(f"{uri} is UTF-16; save it as UTF-8")
                    line = line.removeprefix(_BOM)
                if len(line) == MAX_LINE:
                    raise BadInput("manifest_damaged", f"line {number} of {uri} is longer than {MAX_LINE >> 20} MiB")
                line = line.strip(b"\r\n")
                if line.strip():
                    yield number, line
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput("manifest_damaged", f"{uri} breaks off after line {number}: {error}") from None
