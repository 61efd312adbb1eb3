"""Files anywhere: local paths, gs://, s3:// alike, through fsspec.

A file becomes visible whole or not at all: locally it is written beside its place and renamed, on an object store it
is written to a local temporary file and uploaded in one request. An uploaded file survives a power loss. A local file
does if it was flushed.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import fsspec

from speechprep.artifacts import durable

TEMPORARY = ".tmp-"  # marks an uncommitted file; a leftover of a killed run may be deleted


def is_local(uri: str) -> bool:
    """True for plain paths and file:// URIs."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of a local URI."""
    return Path(uri.removeprefix("file://"))


def absolute(uri: str) -> str:
    """The same place, independent of the working directory."""
    return os.path.abspath(local_path(uri)) if is_local(uri) else uri


def join(uri: str, *parts: str) -> str:
    """A URI below another."""
    return "/".join([uri.rstrip("/") or "/", *parts]) if parts else uri


def parent(uri: str) -> str:
    """The parent folder. It is cut from the text, because object storage does not resolve ".."."""
    return absolute(uri).rstrip("/").rsplit("/", 1)[0] or "/"


def _remote(uri: str) -> tuple[Any, str]:
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, path


def open(uri: str, mode: str = "rb") -> IO[bytes]:  # noqa: A001 - reads as storage.open
    """Open a file for reading. Writing goes through `replace` or `write_bytes`.

    Files of object storage have the methods of a local file too: `readline` of fsspec takes no limit.
    """
    if is_local(uri):
        return local_path(uri).open(mode)
    fs, path = _remote(uri)
    return io.BufferedReader(fs.open(path, mode))


def exists(uri: str) -> bool:
    """True where a file or folder is."""
    if is_local(uri):
        return local_path(uri).exists()
    fs, path = _remote(uri)
    return bool(fs.exists(path))


def is_dir(uri: str) -> bool:
    """True where a folder is."""
    if is_local(uri):
        return local_path(uri).is_dir()
    fs, path = _remote(uri)
    return bool(fs.isdir(path))


def size(uri: str) -> int | None:
    """Bytes of a file, None for an absent file."""
    if is_local(uri):
        path = local_path(uri)
        return path.stat().st_size if path.is_file() else None
    fs, path_ = _remote(uri)
    return int(fs.size(path_)) if fs.isfile(path_) else None


def sizes(folder: str) -> dict[str, int]:
    """Name -> bytes of the files directly in a folder; empty where there is no folder."""
    if is_local(folder):
        if not local_path(folder).is_dir():
            return {}
        sizes_here = {}
        with os.scandir(local_path(folder)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # renamed or deleted by a worker since
                    if not _is_broken_link(entry) and entry.is_file():
                        sizes_here[entry.name] = entry.stat().st_size
        return sizes_here
    fs, path = _remote(folder)
    if not fs.isdir(path):
        return {}
    entries = fs.ls(path, detail=True, refresh=True)
    return {f["name"].rsplit("/", 1)[-1]: int(f["size"]) for f in entries if f["type"] == "file"}


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    """True for a symbolic link to nothing, or in a circle."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def folders(folder: str) -> list[str]:
    """Names of the folders directly in a folder, sorted."""
    if is_local(folder):
        path = local_path(folder)
        return sorted(p.name for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
    fs, path_ = _remote(folder)
    if not fs.isdir(path_):
        return []
    return sorted(
        f["name"].rstrip("/").rsplit("/", 1)[-1] for f in fs.ls(path_, detail=True, refresh=True) if f["type"] != "file"
    )


@contextmanager
def remote_errors(uri: str) -> Iterator[None]:
    """Raise each error of a remote file system as an OSError; its packages have no common base class of errors.

    `OSError` and `ValueError` pass unchanged.
    """
    try:
        yield
    except (OSError, ValueError):
        raise
    except ImportError as error:
        raise OSError(f"{uri.partition('://')[0]}:// needs a package: {error}") from None
    except Exception as error:
        if is_local(uri):
            raise
        raise OSError(f"{type(error).__name__}: {error}") from None


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    with open(uri) as f:
        return f.read()


def write_bytes(uri: str, data: bytes, *, flush: bool = False) -> None:
    """Write a whole file; a reader sees the old or the new one.

    Args:
        uri: the file.
        data: its content.
        flush: see `replace`.
    """
    with replace(uri, flush=flush) as path:
        path.write_bytes(data)


@contextmanager
def replace(uri: str, *, flush: bool = False) -> Iterator[Path]:
    """A local path to write; on leaving without an error it takes the place of `uri`.

    Args:
        uri: the file.
        flush: flush the content to the disk before the rename. The new name survives a power loss after
            `flush_folders`.
    """
    if is_local(uri):
        final = local_path(uri)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f"{final.name}{TEMPORARY}{uuid.uuid4().hex}")
        try:
            yield temporary
            if flush:
                durable.flush_file(temporary)
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "file"
        yield temporary
        fs, path = _remote(uri)
        fs.put_file(str(temporary), path)


def flush_files(*uris: str) -> None:
    """Flush the contents of local files to the disk; remote files are skipped."""
    durable.flush_files(local_path(uri) for uri in uris if is_local(uri))


def flush_folders(*uris: str) -> None:
    """Flush the names in local folders to the disk; absent and remote folders are skipped."""
    durable.flush_folders(local_path(uri) for uri in uris if is_local(uri))


def create(uri: str, data: bytes) -> bool:
    """Write a file that must not exist; False if it exists.

    Of several processes at once, one succeeds. Object storage needs a conditional put for it (S3, Google Cloud
    Storage, Azure and `memory://` of fsspec have one); without it, the file is looked up first.
    """
    if is_local(uri):
        local_path(uri).parent.mkdir(parents=True, exist_ok=True)
        try:
            with local_path(uri).open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True
    fs, path = _remote(uri)
    try:
        fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except (TypeError, NotImplementedError):
        if fs.exists(path):
            return False
        fs.pipe_file(path, data)
    return True


def remove(uri: str) -> None:
    """Delete a file or a folder with all in it; nothing happens where it is not."""
    if is_local(uri):
        path = local_path(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    fs, path_ = _remote(uri)
    if fs.exists(path_):
        fs.rm(path_, recursive=True)


def fetch_folder(uri: str, to: Path) -> Path:
    """A local folder with the files of `uri`: itself where it is local, a copy in `to` otherwise."""
    if is_local(uri):
        return local_path(uri)
    fs, path = _remote(uri)
    to.mkdir(parents=True, exist_ok=True)
    fs.get(path.rstrip("/") + "/", str(to) + "/", recursive=True)
    return to
