"""Execution of one task: its work, then its commit. It is independent of Beam.

The commit protocol: rejects, then shards, each validated, flushed to the disk under a temporary name and renamed, then
the record `_state/<task>.json` with their hashes. A task with an intact commit is not run again. Every other task is
run as a whole.

A record counts only with its files, and a torn record counts as absent. Records and new names are therefore not flushed
for each task: after a power loss, the newest tasks may run again. `recovery.completion` flushes all names before the
manifest declares the folder complete.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from speechprep.artifacts import durable, manifest, shards, storage
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.schemas import REJECTS
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.loaded import loaded_backend
from speechprep.pipelines.engine.recovery.attempts import Attempt, needs_attempts
from speechprep.pipelines.engine.recovery.hashes import damaged_commits
from speechprep.pipelines.engine.stage import Stage, find_stage
from speechprep.pipelines.engine.task import Input, Task, Work, commit_of, read_record, write_record


def execute(task: Task) -> list[Shard]:
    """Run a task and commit it, unless it is committed; return its shards."""
    # Some tasks have thousands of siblings, so the few files of one record are looked up without a listing.
    committed = read_record(task, lambda name: storage.size(storage.join(task.folder, name)))
    if committed is not None and not damaged_commits([commit_of(task, committed)]):
        return committed
    stage = find_stage(task.stage)
    with _attempt(task) as attempt, _scratch(task) as scratch:
        task = task if attempt is None else attempt.task
        ctx = ShardContext(replace(_work(task, stage, scratch), attempt=attempt))
        committed = _artifact(stage, ctx, task) if stage.schema is None else _dataset(stage, ctx, task)
    write_record(task, committed, ctx.facts)
    return committed


@contextmanager
def _attempt(task: Task) -> Iterator[Attempt | None]:
    attempt = Attempt.begin(task) if needs_attempts(task) else None
    try:
        yield attempt
    finally:
        if attempt is not None:
            attempt.end()


@contextmanager
def _scratch(task: Task) -> Iterator[Path]:
    if task.work is not None:
        Path(task.work).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"task-{task.shard:05d}-", dir=task.work) as folder:
        yield Path(folder)


def _work(task: Task, stage: Stage, scratch: Path) -> Work:
    inputs = {role: Input(folder, file, task.hashes.get(role, "")) for role, (folder, file) in task.inputs.items()}
    extras = {role: source.manifest.extra for role, source in inputs.items()} if stage.backend else {}
    backend = loaded_backend(task.stage, manifest.canonical(task.config), manifest.canonical(extras))
    return Work(task, stage.configure(task.config), inputs, backend, scratch)


def _dataset(stage: Stage, ctx: ShardContext, task: Task) -> list[Shard]:
    ctx.schema = stage.schema(ctx) if callable(stage.schema) else stage.schema
    try:
        stage.run(ctx)
        if stage.sharded:
            ctx.writer(ctx.shard)  # also for a shard without rows
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
    files = sorted(p for p in ctx.out.rglob("*") if p.is_file())
    durable.flush_files(files)  # a rename keeps the flushed content; a copy to another disk is flushed again
    for path in files:
        name = path.relative_to(ctx.out).as_posix()
        digest, size = shards.sha256_file(path), path.stat().st_size
        with storage.replace(storage.join(task.folder, name)) as to:
            if path.stat().st_dev == to.parent.stat().st_dev:
                path.rename(to)
            else:
                to.write_bytes(path.read_bytes())
                durable.flush_file(to)
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
