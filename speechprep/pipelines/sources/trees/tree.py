"""Files of folders and archives by URI. `corpus.tar.gz!/dev/a.wav` is a member of an archive.

All functions take members of archives, archives inside archives, local paths and remote URIs.
"""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, cast

from speechprep.artifacts import storage
from speechprep.errors import ConfigError
from speechprep.pipelines.sources.trees import archive as archives
from speechprep.pipelines.sources.trees.archive import Archive, Member
from speechprep.pipelines.sources.trees.audio_names import is_audio
from speechprep.pipelines.sources.trees.raw import DAMAGE, open_file, unpacked

MARK = "!/"
_MOUNTED = 4  # archives with an index in memory
_NOT_KEPT = (".parquet", ".arrow", ".npy", ".npz", ".ark", ".pt", ".jpg", ".png")  # large members of other kinds


def root_of_archive(uri: str) -> str:
    """URI of the folder of all members of an archive."""
    return uri + "!"


def split(uri: str) -> tuple[str, str] | None:
    """(URI of the archive, name of the member or folder in it); None for a file outside of archives."""
    if uri.endswith("!") and archives.is_archive_name(uri[:-1]):
        return uri[:-1], ""
    if MARK not in uri:
        return None
    for mark in _marks(uri):
        if archives.is_archive_name(uri[:mark]):
            return uri[:mark], uri[mark + len(MARK) :].rstrip("/")
    return None


def _marks(uri: str) -> Iterator[int]:
    """Positions of the marks, the last one first."""
    at = uri.rfind(MARK)
    while at > 0:
        yield at
        at = uri.rfind(MARK, 0, at)


def outermost(uri: str) -> str:
    """The file on disk or in object storage that holds a file."""
    while (parts := split(uri)) is not None:
        uri = parts[0]
    return uri


def mounted(uri: str) -> Archive:
    """The members of an archive; the index stays in memory.

    Raises:
        OSError: the archive cannot be opened.
    """
    outer = outermost(uri)
    stamp = 0.0
    if storage.is_local(outer):
        stamp = os.stat(storage.local_path(outer)).st_mtime_ns
    return _index(uri, stamp)


@lru_cache(maxsize=_MOUNTED)
def _index(uri: str, stamp: float) -> Archive:
    def keep(name: str) -> bool:
        return not is_audio(name) and not name.lower().endswith(_NOT_KEPT)

    try:
        return archives.index(lambda: open_regular(uri), keep)
    except OSError as error:  # a damaged archive around it
        return Archive("tar", lambda: open_regular(uri), damage=error.strerror or str(error))


def member_of(uri: str) -> tuple[str, str, Archive, Member | None] | None:
    """(URI of the archive, name, its index, the member or None); None for a file outside of archives.

    Raises:
        OSError: the archive cannot be opened.
    """
    parts = split(uri)
    if parts is None:
        return None
    archive = mounted(parts[0])
    return parts[0], parts[1], archive, archive.members.get(parts[1])


def open_regular(uri: str) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        OSError: an absent or unreadable file, or a pipe or device, because reading it could block without end.
    """
    parts = split(uri)
    return mounted(parts[0]).open(parts[1]) if parts else open_file(uri)


@contextmanager
def open_plain(uri: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where they are gzip, bzip2 or xz.

    Raises:
        ConfigError: the file cannot be opened.
    """
    try:
        raw = open_regular(uri)
    except OSError as error:
        raise ConfigError(f"cannot read {uri}: {error.strerror or error}; give a readable file") from None
    with raw:
        try:
            plain = unpacked(raw)
        except DAMAGE:
            plain = cast(IO[bytes], io.BytesIO())
        with plain:
            yield plain


def exists(uri: str) -> bool:
    """True where a file or folder is."""
    parts = split(uri)
    if parts is None:
        return storage.exists(uri)
    return exists(parts[0]) and (_has_folder(mounted(parts[0]), parts[1]) or parts[1] in mounted(parts[0]).members)


def is_dir(uri: str) -> bool:
    """True where a folder is; the root of an archive is one."""
    parts = split(uri)
    if parts is None:
        return storage.is_dir(uri)
    return exists(parts[0]) and _has_folder(mounted(parts[0]), parts[1])


def _has_folder(archive: Archive, folder: str) -> bool:
    return not folder or folder in archive.folders or any(f.startswith(folder + "/") for f in archive.folders)


def is_file(uri: str) -> bool:
    """True where a file is."""
    parts = split(uri)
    if parts is not None:
        return exists(parts[0]) and parts[1] in mounted(parts[0]).members
    if storage.is_local(uri):
        return os.path.isfile(storage.local_path(uri))
    return storage.exists(uri) and not storage.is_dir(uri)


def names_in(folder: str) -> list[str]:
    """Sorted names of the files directly in a folder, without hidden ones; empty where there is none."""
    parts = split(folder)
    names = storage.sizes(folder) if parts is None else mounted(parts[0]).folders.get(parts[1], [])
    return sorted(name for name in names if not name.startswith("."))


def walk_archive(uri: str, hidden: Callable[[str], None]) -> Iterator[tuple[str, list[str]]]:
    """(folder relative to the URI, its file names), sorted, as `files.walk`.

    Args:
        uri: URI of the root of an archive, or of a folder in it.
        hidden: receives the path of each file with a hidden name.
    """
    parts = split(uri)
    if parts is None:
        return
    archive = mounted(parts[0])
    root = parts[1]
    for folder in sorted(archive.folders, key=lambda folder: folder.split("/")):
        if root and folder != root and not folder.startswith(root + "/"):
            continue
        inside = folder[len(root) :].lstrip("/") if root else folder
        names = []
        for name in sorted(archive.folders[folder]):
            if name.startswith(".") or any(part.startswith(".") and part != ".." for part in inside.split("/")):
                hidden(posixpath.join(inside, name))
            else:
                names.append(name)
        if names:
            yield inside, names
