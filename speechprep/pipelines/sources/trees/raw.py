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
from collections.abc import Callable
from typing import IO, Any, cast

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
    for mark, opener in ((_GZIP, _gzip), (_BZIP2, bz2.BZ2File), (_XZ, lzma.LZMAFile)):
        if head.startswith(mark):
            return cast(IO[bytes], io.BufferedReader(_Unpacker(opener(raw))))
    return raw


def _gzip(raw: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw))


class _Unpacker(io.RawIOBase):
    """A decompressor that is not used again after an error: libbz2 overwrites the stack if it reads on."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._damage: str | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack the next bytes."""
        return int(self._guarded(self._inner.readinto, buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position in the unpacked bytes."""
        return int(self._guarded(self._inner.seek, offset, whence))

    def tell(self) -> int:
        """The position in the unpacked bytes."""
        return int(self._inner.tell())

    def _guarded(self, function: Callable[..., int], *arguments: Any) -> int:
        if self._damage is not None:
            raise OSError(5, self._damage)
        try:
            return function(*arguments)
        except DAMAGE as error:
            self._damage = str(error) or type(error).__name__
            raise

    def close(self) -> None:
        """Close the decompressor."""
        if not self.closed:
            self._inner.close()
        super().close()
