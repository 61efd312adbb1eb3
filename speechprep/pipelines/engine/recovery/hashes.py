"""Comparison of files with their recorded sha256.

A file is hashed once for each process, unless it changes. Files on object storage are not read for this: an upload is
complete or absent, and the pages of their shards have checksums.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from speechprep.artifacts import shards, storage
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.run import rejects_folder
from speechprep.errors import BadInput, DamagedFile

MOST_KEPT = 100_000  # hashes in memory
MOST_FETCHED = 64 << 20  # bytes of an audio file on object storage
HASHES_AT_ONCE = min(8, os.cpu_count() or 1)  # hashing releases the interpreter lock
_hashes: dict[tuple[str, int, int, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """sha256 of a local file. A file is read again if its inode, size or times have changed."""
    stat = path.stat()
    key = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if key not in _hashes:
        if len(_hashes) >= MOST_KEPT:
            _hashes.clear()
        _hashes[key] = shards.sha256_file(path)
    return _hashes[key]


def check_file(uri: str, sha256: str, folder: str) -> None:
    """Compare a file with its recorded sha256; files on object storage pass.

    Args:
        uri: the file.
        sha256: recorded hash; empty if it is unknown.
        folder: dataset or artifact folder of the file, for the message.

    Raises:
        DamagedFile: the file is absent or has another content.
    """
    if not sha256 or not storage.is_local(uri):
        return
    path = storage.local_path(uri)
    if not path.is_file():
        raise DamagedFile(f"{uri} is missing; run: speechprep repair {shlex.quote(folder)}")
    if sha256_of(path) != sha256:
        raise DamagedFile(
            f"{uri} was changed: its sha256 is not the recorded one; run: speechprep repair {shlex.quote(folder)}"
        )


def check_copy(folder: Path, origin: str, files: Iterable[Shard]) -> None:
    """Compare the files of an artifact in a local folder, or in a local copy of one, with their recorded sha256.

    Raises:
        DamagedFile: see `check_file`; the message names the file in its original folder.
    """
    for file in files:
        path = folder / file.name
        if not path.is_file() or sha256_of(path) != file.sha256:
            raise DamagedFile(
                f"{storage.join(origin, file.name)} is missing or was changed; run: speechprep repair "
                f"{shlex.quote(origin)}"
            )


def checked_audio(source: str | bytes | None, sha256: str | None) -> str | bytes:
    """Encoded audio, or the URI of an audio file with the content that was ingested.

    A file on object storage of at most `MOST_FETCHED` bytes is read, by one request. A larger one is not compared.

    Raises:
        BadInput: `audio_changed`; `no_audio` without a source.
    """
    if source is None:
        raise BadInput("no_audio", "the row is text without audio; run this stage on speech only")
    if isinstance(source, bytes) or sha256 is None or not re.fullmatch("[0-9a-f]{64}", sha256):
        return source
    content: str | bytes = source
    if storage.is_local(source):
        path = storage.local_path(source)
        actual = sha256_of(path) if path.is_file() else sha256  # the decoder names what is no file
    else:
        with suppress(OSError, ValueError), storage.remote_errors(source):
            if (storage.size(source) or MOST_FETCHED + 1) <= MOST_FETCHED:
                content = storage.read_bytes(source)
        actual = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256
    if actual != sha256:
        raise BadInput("audio_changed", f"the file was replaced after its ingest; run ingest again: {source}")
    return content


@dataclass(frozen=True)
class Commit:
    """The files of a commit record.

    Attributes:
        number: number of the task.
        folder: output folder.
        rejects: name of the file of rejects in its folder.
        shards: committed shards.
    """

    number: int
    folder: str
    rejects: str
    shards: list[Shard]


def damaged_commits(commits: Iterable[Commit]) -> set[int]:
    """Numbers of the tasks with a local file of another content than in their commit record."""
    rejects: dict[str, str] = {}

    def files() -> Iterator[tuple[int, Path, str]]:
        for commit in commits:
            for shard in commit.shards if storage.is_local(commit.folder) else ():
                yield commit.number, storage.local_path(storage.join(commit.folder, shard.name)), shard.sha256
                if shard.rejects:
                    if commit.folder not in rejects:
                        rejects[commit.folder] = rejects_folder(commit.folder)
                    uri = storage.join(rejects[commit.folder], commit.rejects)
                    yield commit.number, storage.local_path(uri), shard.rejects

    def is_damaged(file: tuple[int, Path, str]) -> bool:
        try:
            return sha256_of(file[1]) != file[2]
        except FileNotFoundError:
            return True

    to_hash = list(files())
    if not to_hash:
        return set()
    with ThreadPoolExecutor(HASHES_AT_ONCE) as pool:
        return {file[0] for file, damaged in zip(to_hash, pool.map(is_damaged, to_hash), strict=True) if damaged}
