"""Tar files: WebDataset samples, and releases of corpora packed as they unpack.

Nothing is unpacked to disk: an entry has the byte offset of its audio in the archive.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO, Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.raw import DAMAGE

_CHUNK = 1 << 20


def read(uri: str, options: Options) -> Iterator[Record]:
    """The records of the files in an archive, in any dialect; a damaged archive ends with a reject."""
    from speechprep.pipelines.sources.scan import read_tree

    yield from members_of(uri, options, read_tree)


def members_of(uri: str, options: Options, read_folder: Callable[[str, Options], Iterator[Record]]) -> Iterator[Record]:
    """The records of the files in an archive, and a reject for repeated members and for damage.

    Args:
        uri: URI of the archive.
        options: options of the stage.
        read_folder: reads the root of the archive.
    """
    name = posixpath.basename(uri)
    try:
        archive = tree.mounted(uri)
    except OSError as error:
        yield Rejected(name, BadInput("archive_damaged", f"{uri} cannot be opened: {error.strerror or error}"))
        return
    options.ledger.archive(uri)
    yield from read_folder(tree.root_of_archive(uri), options)
    for member in archive.repeated:
        where = f"{name}:{member}"
        yield Rejected(where, BadInput("bad_member", f"{where} is there twice; the last one is read"))
    if archive.damage is not None:
        message = f"{uri} breaks off after {len(archive.members)} members: {archive.damage}; repair it"
        yield Rejected(name, BadInput("archive_damaged", message))


class TarReader(AbstractContextManager["TarReader"]):
    """Reader of archive members; fastest from front to back, because a compressed archive has no random access."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._opened = tree.open_plain(uri)
        self._file = self._opened.__enter__()

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(None, None, None)

    def read(self, entry: dict[str, Any]) -> bytes:
        """The bytes of an entry of this archive.

        Raises:
            BadInput: `archive_damaged`.
        """
        start, size = entry["start"], entry["size"]
        try:
            self._file.seek(start)
            data = b"".join(chunks(self._file, size))
        except DAMAGE as error:
            raise BadInput("archive_damaged", f"{self._uri} cannot be read at byte {start}: {error}") from None
        if len(data) < size:
            raise BadInput("archive_damaged", f"{self._uri} breaks off: {len(data)} of {size} bytes are there")
        return data


def chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """At most `size` bytes; a false size costs no memory."""
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk


_SUFFIX = re.compile(r".+\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz)$", re.IGNORECASE)

DIALECT = Dialect(
    name="tar",
    summary="a tar file of samples (WebDataset) or of a corpus in any of these forms",
    read=read,
    file=lambda head: head.data[257:262] == b"ustar" or _SUFFIX.match(head.name) is not None,
    pattern=_SUFFIX,
    archive=TarReader,
)
