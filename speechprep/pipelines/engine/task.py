"""Tasks: the work on one shard as plain data (`Task`), the same on a worker (`Work`), and the commit record.

The folder of a task holds its shards, `_rejects/`, and during a run `_state/` (commit records) and `_work/` (temporary
files). A task is committed if its record has the key of the task and every file of the record is in the folder with
its recorded size.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from speechprep.artifacts import shards, storage
from speechprep.artifacts.manifest import Manifest, Shard, canonical, digest, read
from speechprep.artifacts.run import EARLIER_REJECTS, REJECTS
from speechprep.pipelines.engine.recovery.hashes import Commit, check_file
from speechprep.pipelines.engine.recovery.time_limit import TIME_LIMIT

STATE = "_state"
WORK = "_work"


@dataclass(frozen=True)
class Task:
    """A task as plain data, for other processes and machines.

    Attributes:
        stage: name of the stage.
        config: options of the stage, as JSON values.
        seed: seed of the run.
        shard: number of the output shard, from 0.
        shards: number of output shards.
        key: digest of everything with an influence on the output, stored in the commit record.
        folder: output folder.
        inputs: role -> (folder, file); the file is None for a whole folder.
        hashes: role -> sha256 of the file.
        work: local folder for temporary files; None on a worker without the driver's disk.
        payload: local file with the records of the shard, from the plan of the stage; None if the inputs are datasets.
        retry: command in the column `retry` of the rejects.
        rejects: records rejected by the planning.
        skip_ids: ids of records with two crashes; the stage rejects them.
        one_by_one: True after a crash in this shard: one record at a time, so that the next crash identifies a record.
        seconds: seconds of audio in the input shard, 0 if unknown.
        records: number of records in the input shard, 0 if unknown.
        time_limit: time limit in seconds for the reading of one input, besides its duration.
    """

    stage: str
    config: dict[str, Any]
    seed: int
    shard: int
    shards: int
    key: str
    folder: str
    inputs: dict[str, tuple[str, str | None]]
    hashes: dict[str, str] = field(default_factory=dict)
    work: str | None = None
    payload: str | None = None
    retry: str = ""
    rejects: list[dict[str, Any]] = field(default_factory=list)
    skip_ids: list[str] = field(default_factory=list)
    one_by_one: bool = False
    seconds: float = 0.0
    records: int = 0
    time_limit: float = TIME_LIMIT

    @property
    def record_name(self) -> str:
        """Name of the commit record in the folder."""
        return f"{STATE}/{self.shard:05d}-of-{self.shards:05d}.json"

    @property
    def record(self) -> str:
        """URI of the commit record."""
        return storage.join(self.folder, self.record_name)

    @property
    def rejects_name(self) -> str:
        """Name of the file of rejects in the folder."""
        return f"{REJECTS}/{shards.shard_name(self.shard, self.shards)}"

    @property
    def cost(self) -> float:
        """Relative cost: seconds of audio, or else the number of records."""
        return self.seconds or float(self.records)

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values, for a runner; `Task(**fields)` is the inverse."""
        return asdict(self)


@dataclass
class Input:
    """Input of a task in one role: a folder, and the shard to read.

    Attributes:
        folder: URI of the dataset or artifact.
        file: name of the shard; None for the whole folder.
        sha256: recorded hash of the shard, empty if it is unknown.
    """

    folder: str
    file: str | None
    sha256: str = ""
    _manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """Manifest of the folder, read once."""
        if self._manifest is None:
            self._manifest = read(self.folder)
        return self._manifest

    def files(self) -> list[str]:
        """URIs of the Parquet shards to read, in order.

        Raises:
            DamagedFile: a shard has another content than recorded.
        """
        if self.file:
            hashes = {self.file: self.sha256}
        else:
            hashes = {s.name: s.sha256 for s in self.manifest.shards if s.name.endswith(".parquet")}
        uris = {storage.join(self.folder, name): sha256 for name, sha256 in hashes.items()}
        for uri, sha256 in uris.items():
            check_file(uri, sha256, self.folder)
        return list(uris)


@dataclass
class Work:
    """A task on a worker.

    Attributes:
        task: the task.
        config: validated options of the stage.
        inputs: role -> input.
        backend: loaded backend of the stage, None if it has none.
        scratch: local folder for the files of this task; it is removed after the task.
        attempt: its mark in the output folder (`recovery.attempts.Attempt`), for a worker without the driver's disk.
    """

    task: Task
    config: Any
    inputs: dict[str, Input]
    backend: Any
    scratch: Path
    attempt: Any = None

    @property
    def progress_file(self) -> Path | None:
        """Progress file for the driver; None without the driver's disk."""
        return Path(self.task.work) / f"progress-{self.task.shard:05d}.json" if self.task.work else None

    @property
    def in_progress_file(self) -> Path | None:
        """File with the ids of the records in progress; None unless a process has crashed in this shard."""
        if self.task.work is None or not self.task.one_by_one:
            return None
        return in_progress_file(self.task.work, self.task.shard)


def in_progress_file(work: str, shard: int) -> Path:
    """File with the ids of the records in progress of a shard. It remains after a crash."""
    return storage.local_path(work) / f"in-progress-{shard:05d}.json"


SizeOf = Callable[[str], int | None]  # name of a file in the folder -> bytes, None for an absent file


class FolderSizes:
    """Sizes of the files of a folder by name. Each subfolder is listed once, at the first question about it.

    `_state` is listed at once: a worker writes a record after its files, so the files of each record listed here are in
    the later listings.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._listings = {STATE: storage.sizes(storage.join(folder, STATE))}

    def __call__(self, name: str) -> int | None:
        """Bytes of a file, None for an absent file."""
        parent, _, file = name.rpartition("/")
        if parent not in self._listings:
            self._listings[parent] = storage.sizes(storage.join(self._folder, parent) if parent else self._folder)
        size = self._listings[parent].get(file)
        # The next run moves the rejects of an earlier version, see `artifacts.run.move_to_layout`.
        return self(f"{EARLIER_REJECTS}/{file}") if size is None and parent == REJECTS else size


def intact(task: Task, committed: list[Shard], size_of: SizeOf) -> bool:
    """True if every file of a commit is in the folder: shards with their recorded sizes, rejects with any content."""
    if any(shard.rejects for shard in committed) and not size_of(task.rejects_name):
        return False
    return all(size_of(shard.name) == shard.size for shard in committed)


def read_body(task: Task) -> dict[str, Any] | None:
    """Content of the commit record of a task; None without one, with another key, or if it is damaged."""
    try:
        body = json.loads(storage.read_bytes(task.record))
        earlier = body.keys() == {"key", "shards"}  # of an earlier version
        stated = digest(body) if earlier else body.pop("digest")
        return body if body["key"] == task.key and stated == digest(body) else None
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # torn by a power loss, or edited
        return None


def commit_of(task: Task, committed: list[Shard]) -> Commit:
    """The files of the commit of a task, for a comparison with their hashes."""
    return Commit(task.shard, task.folder, task.rejects_name.rpartition("/")[2], committed)


def read_record(task: Task, size_of: SizeOf) -> list[Shard] | None:
    """Committed shards of a task; None without a valid commit record of its key, or with a missing file."""
    if not size_of(task.record_name):
        return None
    body = read_body(task)
    committed = [Shard(**s) for s in body["shards"]] if body is not None else None
    return committed if committed is not None and intact(task, committed, size_of) else None


def write_record(task: Task, committed: list[Shard], facts: dict[str, Any] | None = None) -> None:
    """Write the commit record of a task.

    Args:
        task: the task.
        committed: its shards.
        facts: entries of the manifest, of a task that makes an artifact.
    """
    body = {"key": task.key, "shards": [asdict(shard) for shard in committed], "facts": facts or {}}
    body = json.loads(canonical(body))  # numbers as they are read
    storage.write_bytes(task.record, canonical({**body, "digest": digest(body)}).encode())
