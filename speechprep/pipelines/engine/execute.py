"""One piece of work, from its description to its commit. Knows nothing of Beam; every engine calls `execute`.

The commit protocol: rejects, then shards, each under a temporary name and renamed, then the record `_state/<task>.json`
with their hashes. Work whose record has the right key is never done again; work without a record is done whole.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechprep.artifacts import manifest, shards, storage
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.schemas import REJECTS
from speechprep.pipelines.engine.context import Input, ShardContext, Work
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
    def record(self) -> str:
        """URI of the commit record."""
        return storage.join(self.folder, STATE, f"{self.shard:05d}-of-{self.shards:05d}.json")

    def to_dict(self) -> dict[str, Any]:
        """For a runner; `Task(**d)` reads it back."""
        return asdict(self)


def read_record(task: Task) -> list[Shard] | None:
    """The shards that an earlier run committed for this very work, None where there are none."""
    if not storage.exists(task.record):
        return None
    body = json.loads(storage.read_bytes(task.record))
    return [Shard(**s) for s in body["shards"]] if body["key"] == task.key else None


def execute(task: Task) -> list[Shard]:
    """Do the work and commit it, or find it committed."""
    done = read_record(task)
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
        backend=_backend(task.stage, manifest.canonical(task.config), manifest.canonical(extras)),
        scratch=scratch,
        payload=Path(task.payload) if task.payload else None,
        progress=local / f"progress-{task.shard:05d}.json" if local else None,
        crumb=local / f"crumb-{task.shard:05d}.json" if local and task.alone else None,
        suspects=frozenset(task.suspects),
        alone=task.alone,
        retry=task.retry,
        rejects=task.rejects,
    )


_loading = threading.Lock()  # two threads of one process share one model; it is read once


def _backend(stage: str, config: str, extras: str) -> Any:
    with _loading:
        return _load_backend(stage, config, extras)


@lru_cache(maxsize=2)
def _load_backend(name: str, config: str, extras: str) -> Any:
    stage = find_stage(name)
    if stage.backend is None:
        return None
    backend = stage.backend(stage.configure(json.loads(config)), json.loads(extras))
    if backend is not None:
        backend.load()
    return backend


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
    uri = storage.join(task.folder, REJECT_FOLDER, shards.shard_name(task.shard, task.shards))
    if not ctx.rejects:
        storage.remove(uri)
        return ""
    with shards.ShardWriter(uri, REJECTS) as writer:
        writer.write(ctx.reject_batch())
    return writer.sha256
