"""One piece of work, from its description to its commit. Knows nothing of Beam; every engine calls `execute`.

The commit protocol: rejects, then shards, each under a temporary name and renamed, then the record `_state/<task>.json`
with their hashes. Work is not done again if its record has the right key and every file of the record is in the folder
with its recorded size. All other work is done whole.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from speechprep.artifacts import manifest, shards, storage
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.schemas import REJECTS
from speechprep.pipelines.engine.context import Input, ShardContext, Work
from speechprep.pipelines.engine.loaded import loaded_backend
from speechprep.pipelines.engine.stage import Stage, find_stage

STATE = "_state"
WORK = "_work"
REJECT_FOLDER = "rejects"


@dataclass(frozen=True)
class Task:
    """A piece of work as plain data: what crosses process and machine borders.

    Attributes:
        key: digest of all that decides the output; the commit record carries it.
        inputs: role -> (folder, file or None).
        work: local folder for temporary files; None on a worker that shares no disk with the driver.
        rejects: what planning already found to be unusable.
        suspects: ids on which a process has died twice.
        alone: a process has died in this shard: one record at a time, so that a record can be blamed for the next.
    """

    stage: str
    config: dict[str, Any]
    seed: int
    shard: int
    shards: int
    key: str
    folder: str
    inputs: dict[str, tuple[str, str | None]]
    work: str | None = None
    payload: str | None = None
    retry: str = ""
    rejects: list[dict[str, Any]] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    alone: bool = False
    seconds: float = 0.0

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
        return f"{REJECT_FOLDER}/{shards.shard_name(self.shard, self.shards)}"

    def to_dict(self) -> dict[str, Any]:
        """For a runner; `Task(**d)` reads it back."""
        return asdict(self)


SizeOf = Callable[[str], int | None]  # name of a file in the folder -> bytes, None if there is no such file


class FolderSizes:
    """Sizes of the files of a folder by name. Each subfolder is listed once, at the first question about it.

    `_state` is listed at once: a worker writes a record after its files, so the files of each record listed here are in
    the later listings.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._listed = {STATE: storage.sizes(storage.join(folder, STATE))}

    def __call__(self, name: str) -> int | None:
        """Bytes of a file, None if there is no such file."""
        parent, _, file = name.rpartition("/")
        if parent not in self._listed:
            self._listed[parent] = storage.sizes(storage.join(self._folder, parent) if parent else self._folder)
        return self._listed[parent].get(file)


def intact(task: Task, committed: list[Shard], size_of: SizeOf) -> bool:
    """True if every file of a commit is in the folder: shards with their recorded sizes, rejects with any content."""
    if any(shard.rejects for shard in committed) and not size_of(task.rejects_name):
        return False
    return all(size_of(shard.name) == shard.size for shard in committed)


def read_record(task: Task, size_of: SizeOf) -> list[Shard] | None:
    """The shards that an earlier run committed for this very work, None if there are none or a file is missing."""
    if not size_of(task.record_name):
        return None
    body = json.loads(storage.read_bytes(task.record))
    committed = [Shard(**s) for s in body["shards"]] if body["key"] == task.key else None
    return committed if committed is not None and intact(task, committed, size_of) else None


def execute(task: Task) -> list[Shard]:
    """Do the work and commit it, or find it committed.

    A listing of the whole folder for each task would cost more than a look at the few files of one record.
    """
    done = read_record(task, lambda name: storage.size(storage.join(task.folder, name)))
    if done is not None:
        return done
    stage = find_stage(task.stage)
    with _scratch(task) as scratch:
        ctx = ShardContext(_describe(task, stage, scratch))
        committed = _artifact(stage, ctx, task) if stage.schema is None else _dataset(stage, ctx, task)
    storage.write_bytes(task.record, json.dumps({"key": task.key, "shards": [asdict(s) for s in committed]}).encode())
    return committed


@contextmanager
def _scratch(task: Task) -> Iterator[Path]:
    if task.work is not None:
        Path(task.work).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"task-{task.shard:05d}-", dir=task.work) as folder:
        yield Path(folder)


def _describe(task: Task, stage: Stage, scratch: Path) -> Work:
    inputs = {role: Input(folder, file) for role, (folder, file) in task.inputs.items()}
    extras = {role: found.manifest.extra for role, found in inputs.items()} if stage.backend else {}
    local = Path(task.work) if task.work else None
    return Work(
        stage=task.stage,
        config=stage.configure(task.config),
        seed=task.seed,
        shard=task.shard,
        shards=task.shards,
        out_folder=task.folder,
        inputs=inputs,
        backend=loaded_backend(task.stage, manifest.canonical(task.config), manifest.canonical(extras)),
        scratch=scratch,
        payload=Path(task.payload) if task.payload else None,
        progress=local / f"progress-{task.shard:05d}.json" if local else None,
        crumb=local / f"crumb-{task.shard:05d}.json" if local and task.alone else None,
        suspects=frozenset(task.suspects),
        alone=task.alone,
        retry=task.retry,
        rejects=task.rejects,
    )


def _dataset(stage: Stage, ctx: ShardContext, task: Task) -> list[Shard]:
    ctx.schema = stage.schema(ctx) if callable(stage.schema) else stage.schema
    try:
        stage.run(ctx)
        if stage.sharded:
            ctx.writer(ctx.shard)  # a shard without rows is a shard
        for shard in range(0 if stage.sharded else ctx.out_shards):
            ctx.writer(shard)
        rejects = _write_rejects(ctx, task)
        for writer in ctx.written.values():
            writer.__exit__(None, None, None)
    except BaseException as error:
        for writer in ctx.written.values():
            writer.abort(error)
        raise
    names = {i: shards.shard_name(i, ctx.out_shards) for i in sorted(ctx.written)}
    first = min(names)
    return [
        Shard(
            name=name,
            key=task.key,
            sha256=ctx.written[i].sha256,
            size=ctx.written[i].size,
            rows=ctx.written[i].rows,
            seconds=ctx.seconds if i == first else 0.0,
            rejects=rejects if i == first else "",
            counters=_counters(ctx) if i == first else {},
            licences=sorted(ctx.licences) if i == first else [],
        )
        for i, name in names.items()
    ]


def _artifact(stage: Stage, ctx: ShardContext, task: Task) -> list[Shard]:
    ctx.out.mkdir()
    stage.run(ctx)
    rejects = _write_rejects(ctx, task)
    committed: list[Shard] = []
    for path in sorted(p for p in ctx.out.rglob("*") if p.is_file()):
        name = path.relative_to(ctx.out).as_posix()
        digest, size = shards.sha256_file(path), path.stat().st_size
        with storage.replace(storage.join(task.folder, name)) as to:
            path.rename(to) if path.stat().st_dev == to.parent.stat().st_dev else to.write_bytes(path.read_bytes())
        first = not committed
        committed.append(
            Shard(
                name,
                task.key,
                digest,
                size,
                seconds=ctx.seconds if first else 0.0,
                rejects=rejects if first else "",
                counters=_counters(ctx) if first else {},
            )
        )
    storage.write_bytes(storage.join(task.folder, STATE, "facts.json"), manifest.canonical(ctx.facts).encode())
    return committed


def _counters(ctx: ShardContext) -> dict[str, float]:
    by_code: dict[str, float] = {}
    for row in ctx.rejects:
        by_code[f"rejected.{row['code']}"] = by_code.get(f"rejected.{row['code']}", 0) + 1
    return {"utterances": ctx.utterances, **ctx.counters, **by_code, "rejected": len(ctx.rejects)}


def _write_rejects(ctx: ShardContext, task: Task) -> str:
    uri = storage.join(task.folder, task.rejects_name)
    if not ctx.rejects:
        storage.remove(uri)
        return ""
    with shards.ShardWriter(uri, REJECTS) as writer:
        writer.write(ctx.reject_batch())
    return writer.sha256
