"""Crash isolation: tasks of a dead worker process run again, and a record that kills its process is rejected."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Literal

from speechprep.artifacts import storage
from speechprep.pipelines.engine.beam.runner import Engine, run_tasks
from speechprep.pipelines.engine.failures import WorkerDied
from speechprep.pipelines.engine.plan import Prepared
from speechprep.pipelines.engine.progress import Listener, reporting_progress
from speechprep.pipelines.engine.recovery.attempts import CRASHES_TO_REJECT
from speechprep.pipelines.engine.task import FolderSizes, Task, in_progress_file, intact, read_record

ATTEMPTS = 12


def run_todo(
    prepared: Prepared, one_by_one: set[int], engine: Engine, slice_: tuple[int, int] | None, listener: Listener
) -> None:
    """Run uncommitted tasks. After a crash of a worker, run the remaining tasks again.

    A shard with a crash is run again one record at a time. Only crashes in this mode count for a record; after two
    crashes the record is rejected.

    Args:
        prepared: the step.
        one_by_one: shards with a crash in an earlier run.
        engine: Beam runner and number of workers.
        slice_: (i, n): run only the tasks i, i + n, ...; None: all tasks.
        listener: receives the progress.

    Raises:
        WorkerDied: too many crashes, or repeated crashes in a shard without a record in progress.
    """
    crashes_of_record: Counter[str] = Counter()
    crashes_of_shard: Counter[int] = Counter()  # without a record in progress
    index, slices = slice_ or (0, 1)
    for attempt in range(ATTEMPTS):
        skip_ids = sorted(id for id, crashes in crashes_of_record.items() if crashes >= CRASHES_TO_REJECT)
        update_committed(prepared)
        todo = [task for task in prepared.todo if task.shard % slices == index]
        todo = [replace(task, skip_ids=skip_ids, one_by_one=task.shard in one_by_one) for task in todo]
        if not todo:
            return
        try:
            with reporting_progress(prepared, listener):
                _run(todo, engine, prepared.step.stage.local)
        except WorkerDied as error:
            crashes = pop_crashes(prepared.work)
            for shard in crashes.keys() & one_by_one:
                crashes_of_record.update(crashes[shard])
                crashes_of_shard.update([] if crashes[shard] else [shard])
            one_by_one = one_by_one | crashes.keys()
            stuck = sorted(shard for shard, count in crashes_of_shard.items() if count >= CRASHES_TO_REJECT)
            if stuck:
                where = f"{prepared.step.name}, shard {stuck[0]}"
                raise WorkerDied(f"{where}: its process dies, on none of its records in particular: {error}") from None
            if attempt == ATTEMPTS - 1:
                raise


def _run(todo: list[Task], engine: Engine, local: Literal["thread", "process"]) -> None:
    """Run tasks. Tasks with an earlier crash run first, in another process: a crash in a thread would end this one."""
    isolated = [task for task in todo if task.one_by_one and local == "thread"]
    if isolated:
        run_tasks(isolated, replace(engine, workers=1), "process")
    others = [task for task in todo if task not in isolated]
    if others:
        run_tasks(others, engine, local)


def update_committed(prepared: Prepared) -> None:
    """Compare all commits with the folder, by one listing: add new ones, drop those with a missing file."""
    size_of = FolderSizes(prepared.step.folder)
    for task in prepared.tasks:
        earlier = prepared.committed.pop(task.shard, None)
        intact_now = earlier is not None and intact(task, earlier, size_of)
        committed = earlier if intact_now else read_record(task, size_of)
        if committed is not None:
            prepared.committed[task.shard] = committed


def pop_crashes(work: str) -> dict[int, list[str]]:
    """Shards with a crash -> ids of the records in progress, if known. Their files in the work folder are removed."""
    crashes: dict[int, list[str]] = {}
    for name in storage.folders(work):
        scratch = re.match(r"task-(\d+)-", name)
        if scratch:
            shard = int(scratch[1])
            ids = str(in_progress_file(work, shard))
            crashes[shard] = json.loads(storage.read_bytes(ids) or "[]") if storage.exists(ids) else []
            storage.remove(ids)
            storage.remove(storage.join(work, name))
    return crashes
