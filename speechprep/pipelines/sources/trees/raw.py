"""Opening of regular files, and unpacking of gzip, bzip2 and xz."""

from __future__ import annotations

import builtins
import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from typing import IO, cast

from speechprep.artifacts import storage

_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
# All errors of damaged containers, compressed files and archives.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,  # compression methods without a decoder
    RuntimeError,  # encrypted members
    ValueError,  # impossible offsets
    OverflowError,
)


def open_file(uri: str) -> IO[bytes]:
    """Open a local or remote file for reading.

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


def unpacked(raw: IO[bytes]) -> IO[bytes]:
    """The file itself, or the bytes inside a file in gzip, bzip2 or xz."""
    head = raw.read(6)
    raw.seek(0)
    if head.startswith(_GZIP):
        return cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=raw))))
    if head.startswith(_BZIP2):
        return cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, bz2.BZ2File(raw))))
    if head.startswith(_XZ):
        return cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, lzma.LZMAFile(raw))))
    return raw
