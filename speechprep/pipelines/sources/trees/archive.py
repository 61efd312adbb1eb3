"""Index of the members of a tar or zip file. Members are read in place; audio is never unpacked to disk.

A compressed tar file has no random access. Its small text members are therefore kept in a temporary file during the
one pass that makes the index.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any, Literal, cast

from speechprep.pipelines.sources.trees.raw import DAMAGE, unpacked

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".zip")
MAX_KEPT = 256 << 20  # bytes of the largest text member of a compressed tar file that is kept
_IN_MEMORY = 32 << 20  # bytes of kept members before they go to a temporary file
_BLOCK = 512
_ZIP = b"PK\x03\x04", b"PK\x05\x06"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive.

    Attributes:
        position: its number in the archive.
        start: offset of its first byte, of the unpacked tar file or in the temporary file; 0 in a zip file.
        size: its bytes.
        fault: reason why it cannot be read; None for a readable member.
        kept: True if its bytes are in the temporary file.
    """

    position: int
    start: int
    size: int
    fault: str | None = None
    kept: int = -1


@dataclass
class Archive:
    """The members of one archive.

    Attributes:
        kind: form of the archive.
        members: name -> member, in the order of the archive; of equal names the last counts.
        folders: folder -> names of its files.
        repeated: names of members that a later one of the same name replaces.
        damage: reason of an early end; None for a complete archive.
    """

    kind: Literal["tar", "zip"]
    opener: Callable[[], IO[bytes]]
    members: dict[str, Member] = field(default_factory=dict)
    folders: dict[str, list[str]] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    damage: str | None = None
    _kept: Any = None

    def open(self, name: str) -> IO[bytes]:
        """Open a member for reading.

        Raises:
            OSError: an absent member, a link or device, or a damaged archive.
        """
        member = self.members.get(name)
        if member is None:
            raise FileNotFoundError(2, "no such member", name)
        if member.fault:
            raise OSError(22, member.fault, name)
        stack = ExitStack()
        try:
            inner, start = self._inner(name, member, stack)
        except DAMAGE as error:
            stack.close()
            raise OSError(5, str(error), name) from None
        return cast(IO[bytes], io.BufferedReader(_Window(inner, start, member.size, stack)))

    def _inner(self, name: str, member: Member, stack: ExitStack) -> tuple[IO[bytes], int]:
        if member.kept >= 0:
            return self._kept, member.kept
        raw = stack.enter_context(self.opener())
        if self.kind == "zip":
            return stack.enter_context(stack.enter_context(zipfile.ZipFile(raw)).open(name)), 0
        return stack.enter_context(unpacked(raw)), member.start


class _Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int, stack: ExitStack) -> None:
        self._file, self._start, self._size, self._stack = file, start, size, stack
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position in the part."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read at the position."""
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        try:
            self._file.seek(self._start + self._position)
            data = self._file.read(wanted)
        except DAMAGE as error:
            raise OSError(5, str(error)) from None
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file if it belongs to the part."""
        if not self.closed:
            self._stack.close()
        super().close()


def is_archive_name(name: str) -> bool:
    """True for the names of tar and zip files."""
    return name.lower().endswith(SUFFIXES)


def index(opener: Callable[[], IO[bytes]], keep: Callable[[str], bool]) -> Archive:
    """The members of a tar or zip file.

    Args:
        opener: opens the file.
        keep: True for the names of members whose bytes a compressed tar file keeps.

    Raises:
        OSError: the file cannot be opened.
    """
    with opener() as raw:
        head = raw.read(4)
        raw.seek(0)
        archive = Archive("zip" if head in _ZIP else "tar", opener)
        try:
            if archive.kind == "zip":
                _index_zip(raw, archive)
            else:
                _index_tar(raw, archive, keep)
        except DAMAGE as error:
            archive.damage = str(error) or type(error).__name__
    for name in archive.members:
        folder, base = posixpath.split(name)
        archive.folders.setdefault(folder, []).append(base)
    return archive


def _add(archive: Archive, name: str, member: Member) -> None:
    name = name.removeprefix("./")
    if name in archive.members:
        archive.repeated.append(name)
        del archive.members[name]
    archive.members[name] = member


def _index_zip(raw: IO[bytes], archive: Archive) -> None:
    with zipfile.ZipFile(raw) as file:
        for position, info in enumerate(file.infolist()):
            if not info.is_dir():
                fault = "is encrypted" if info.flag_bits & 1 else None
                _add(archive, info.filename, Member(position, 0, info.file_size, fault))


def _index_tar(raw: IO[bytes], archive: Archive, keep: Callable[[str], bool]) -> None:
    file = unpacked(raw)
    kept = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) if file is not raw else None  # noqa: SIM115 - kept open
    if kept is not None:
        archive._kept = kept
        weakref.finalize(archive, kept.close)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for position, info in enumerate(tar):
            if info.isdir():
                continue
            readable = info.isreg() and not info.issparse()
            fault = None if readable else "is a link, device or sparse file; store the file itself"
            place = -1
            if kept is not None and readable and info.size <= MAX_KEPT and keep(info.name):
                content = tar.extractfile(info)
                place = kept.seek(0, io.SEEK_END)
                kept.write(content.read() if content else b"")
            _add(archive, info.name, Member(position, info.offset_data, info.size, fault, place))
        end = tar.offset
    file.seek(end)
    if file.read(_BLOCK).strip(b"\0"):  # `tarfile` ends silently at a damaged header
        archive.damage = "a damaged header"
