"""Lines of text files, one at a time: plain or compressed, with or without BOM, LF or CRLF, good or bad."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from speechprep.errors import BadInput
from speechprep.pipelines.sources.trees.raw import DAMAGE
from speechprep.pipelines.sources.trees.tree import open_plain, open_regular

__all__ = ["decoded", "head", "open_plain", "open_regular", "open_text", "read_all_lines", "read_lines"]

MAX_LINE = 64 << 20  # bytes of the longest line
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_text(uri: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, as in `open_plain`; UTF-16 with a byte order mark as UTF-8."""
    with open_plain(uri) as file:
        try:
            is_utf16 = file.read(2) in _UTF16
            file.seek(0)
        except DAMAGE:
            is_utf16 = False
        yield cast(IO[bytes], codecs.EncodedFile(file, "utf-8", "utf-16", errors="replace")) if is_utf16 else file


def decoded(data: bytes) -> str:
    """Text of a small file in UTF-8, or in UTF-16 with a byte order mark; other bytes become lone surrogates."""
    if data.startswith(_UTF16):
        return data.decode("utf-16", "surrogatepass")
    return data.decode("utf-8-sig", "surrogateescape")


def head(uri: str, size: int = 4096) -> bytes:
    """The first bytes, unpacked; fewer where the file is shorter or damaged."""
    with open_text(uri) as file:
        try:
            return file.read(size)
        except DAMAGE:
            return b""


def read_lines(uri: str) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line without its end), blank ones left out.

    Raises:
        BadInput: `manifest_damaged` after the last readable line.
    """
    number = 0
    with open_text(uri) as file:
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
        except DAMAGE as error:
            raise BadInput("manifest_damaged", f"{uri} breaks off after line {number}: {error}") from None


def read_all_lines(uri: str) -> Iterator[tuple[int, str] | BadInput]:
    """(number from 1, line without its end), blank ones included; an error after the last readable line.

    Bytes outside of UTF-8 become lone surrogates.
    """
    number = 0
    with open_text(uri) as file:
        try:
            while line := file.readline(MAX_LINE):
                number += 1
                line = line.removeprefix(_BOM) if number == 1 else line
                yield number, line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        except DAMAGE as error:
            yield BadInput("manifest_damaged", f"{uri} breaks off after line {number}: {error}")
