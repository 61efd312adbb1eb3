"""Execution of steps: prepare, run the open tasks, write the manifest, check the rejects."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.artifacts.run import REJECTS, move_to_layout
from speechprep.errors import SpeechprepError, TooManyRejects
from speechprep.pipelines.engine.beam.runner import Engine, run_tasks
from speechprep.pipelines.engine.failures import WorkerDied
from speechprep.pipelines.engine.plan import PLAN, Prepared, Step, prepare, stale_files
from speechprep.pipelines.engine.progress import Listener, NoListener, StepResult, reporting_progress
from speechprep.pipelines.engine.retry import MAX_REJECT_FRACTION
from speechprep.pipelines.engine.scratch import remove_abandoned, temporary_folder
from speechprep.pipelines.engine.stage import Finished
from speechprep.pipelines.engine.task import (
    STATE,
    WORK,
    FolderSizes,
    Task,
    in_progress_file,
    intact,
    read_record,
    write_record,
)

CRASHES_TO_REJECT = 2  # the first crash may have an external cause, for example the out-of-memory killer
ATTEMPTS = 12
SOURCE_FACTS = ("files", "unused_transcripts", "with_transcript", "without_transcript")  # in results, see `ingest`


@dataclass(frozen=True)
class Options:
    """Options of the execution; they do not change the output.

    Attributes:
        engine: Beam runner and number of workers.
        rebuild: replace folders of another fingerprint.
        max_reject_fraction: largest share of rejected records of a step. Above it the run ends, after the commit of
            all good records.
        slice: (i, n): run only the tasks i, i + n, ...; for job arrays with a shared out folder.
    """

    engine: Engine = field(default_factory=Engine)
    rebuild: bool = False
    max_reject_fraction: float = MAX_REJECT_FRACTION
    slice: tuple[int, int] | None = None


class UnfinishedSlices(SpeechprepError):
    """The slice of this job is complete, other slices of the step are not."""

    exit_code = 5


def run_steps(steps: list[Step], options: Options, listener: Listener | None = None) -> list[StepResult]:
    """Run steps in order, until each folder is complete.

    Raises:
        SpeechprepError: a step failed. Committed tasks stay, and the next run continues from there.
    """
    remove_abandoned()
    return [run_step(step, options, listener or NoListener()) for step in steps]


def run_step(step: Step, options: Options, listener: Listener) -> StepResult:
    """Run one step: see `run_steps`."""
    began = time.monotonic()
    with _work_folder(step, options) as work:
        one_by_one = set(_pop_crashes(work)) if step.stage.local == "thread" else set()
        storage.remove(work)
        prepared = prepare(
            step,
            work=work,
            rebuild=options.rebuild,
            shares_disk=options.engine.shares_disk,
            max_reject_fraction=options.max_reject_fraction,
        )
        todo = prepared.todo
        seconds, records = sum(task.seconds for task in todo), sum(task.records for task in todo)
        listener.started(step, len(todo), len(prepared.tasks), seconds, records)
        complete = prepared.finished
        if complete is None:
            _begin(prepared)
            _run_todo(prepared, one_by_one, options, listener)
            complete = _finish(prepared, options)
    storage.remove(storage.join(step.folder, WORK))
    result = _result(step, complete, len(prepared.tasks), len(todo), time.monotonic() - began)
    listener.finished(result)
    _check_rejects(result, options.max_reject_fraction)
    return result


@contextmanager
def _work_folder(step: Step, options: Options) -> Iterator[str]:
    """Local folder for the temporary files of a step.

    For local output it is in the output folder, where the next run finds the shards with a crash. For output on object
    storage it is a temporary folder of this machine, and crashes are counted within one run only.
    """
    if not storage.is_local(step.folder):
        with temporary_folder() as folder:
            yield storage.join(folder, WORK)
        return
    work = storage.join(step.folder, WORK)
    # Other slices may use the same folder at the same time.
    yield work if options.slice is None else storage.join(work, "slice-{}-of-{}".format(*options.slice))


def _begin(prepared: Prepared) -> None:
    """Mark the folder as incomplete: kept shards get commit records, and the manifest is removed."""
    folder = prepared.step.folder
    storage.write_bytes(storage.join(folder, STATE, PLAN), manifest.canonical(prepared.made_of).encode())
    if manifest.find(folder) is not None:
        for task in prepared.tasks:
            if task.shard in prepared.committed:
                write_record(task, prepared.committed[task.shard])
        storage.remove(storage.join(folder, manifest.NAME))
    move_to_layout(folder)


def _run_todo(prepared: Prepared, one_by_one: set[int], options: Options, listener: Listener) -> None:
    """Run uncommitted tasks. After a crash of a worker, run the remaining tasks again.

    A shard with a crash is run again one record at a time. Only crashes in this mode count for a record; after two
    crashes the record is rejected.

    Args:
        prepared: the step.
        one_by_one: shards with a crash in an earlier run.
        options: of the execution.
        listener: receives the progress.

    Raises:
        WorkerDied: too many crashes, or repeated crashes in a shard without a record in progress.
    """
    crashes_of_record: Counter[str] = Counter()
    crashes_of_shard: Counter[int] = Counter()  # without a record in progress
    index, slices = options.slice or (0, 1)
    for attempt in range(ATTEMPTS):
        skip_ids = sorted(id for id, crashes in crashes_of_record.items() if crashes >= CRASHES_TO_REJECT)
        _update_committed(prepared)
        todo = [task for task in prepared.todo if task.shard % slices == index]
        todo = [replace(task, skip_ids=skip_ids, one_by_one=task.shard in one_by_one) for task in todo]
        if not todo:
            return
        try:
            with reporting_progress(prepared, listener):
                _run(todo, options.engine, prepared.step.stage.local)
        except WorkerDied as error:
            crashes = _pop_crashes(prepared.work)
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


def _update_committed(prepared: Prepared) -> None:
    """Compare all commits with the folder, by one listing: add new ones, drop those with a missing file."""
    size_of = FolderSizes(prepared.step.folder)
    for task in prepared.tasks:
        earlier = prepared.committed.pop(task.shard, None)
        intact_now = earlier is not None and intact(task, earlier, size_of)
        committed = earlier if intact_now else read_record(task, size_of)
        if committed is not None:
            prepared.committed[task.shard] = committed


def _pop_crashes(work: str) -> dict[int, list[str]]:
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


def _finish(prepared: Prepared, options: Options) -> Manifest:
    _update_committed(prepared)
    missing = [task.shard for task in prepared.todo]
    step = prepared.step
    if missing:
        if options.slice is not None:
            raise UnfinishedSlices(
                f"{step.name}: this slice is complete, {len(missing)} shards of other slices are not; run the other "
                "slices"
            )
        raise RuntimeError(f"{step.name}: shards {missing[:5]} have no commit record or no file after the run")
    shards = [s for i in sorted(prepared.committed) for s in prepared.committed[i]]
    for name in stale_files(prepared, shards):
        storage.remove(storage.join(step.folder, name))
    complete = Manifest(
        kind=step.stage.writes,
        fingerprint=prepared.fingerprint,
        content=manifest.digest([s.sha256 for s in shards]),
        made_of=prepared.made_of,
        shards=shards,
        counters=_sum_counters(shards),
        licences=sorted(
            {x for s in shards for x in s.licences} | {x for m in prepared.inputs.values() for x in m.licences}
        ),
        versions=_versions(),
        extra=_facts(prepared, shards),
    )
    manifest.write(step.folder, complete)
    storage.remove(storage.join(step.folder, STATE))
    return complete


def _facts(prepared: Prepared, shards: list[Shard]) -> dict[str, Any]:
    step = prepared.step
    stored = storage.join(step.folder, STATE, "facts.json")
    facts: dict[str, Any] = dict(prepared.facts)
    facts |= json.loads(storage.read_bytes(stored)) if storage.exists(stored) else {}
    if step.stage.facts is not None:
        facts |= step.stage.facts(Finished(step.folder, step.config, shards, prepared.inputs))
    return facts


def _sum_counters(shards: list[Shard]) -> dict[str, float]:
    total: dict[str, float] = {}
    for shard in shards:
        for name, value in shard.counters.items():
            total[name] = total.get(name, 0) + value
    return dict(sorted(total.items()))


def _versions() -> dict[str, str]:
    versions = {}
    for package in (
        "speechprep",
        "apache-beam",
        "numpy",
        "pyarrow",
        "soundfile",
        "soxr",
        "sentencepiece",
        "pocketsphinx",
    ):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _result(step: Step, complete: Manifest, tasks: int, tasks_run: int, wall: float) -> StepResult:
    return StepResult(
        name=step.name,
        folder=step.folder,
        kind=complete.kind,
        tasks=tasks,
        tasks_run=tasks_run,
        rows=complete.rows,
        seconds=complete.seconds,
        rejected=int(complete.counters.get("rejected", 0)),
        counters=complete.counters,
        wall=wall,
        note=step.stage.note(complete.extra) if step.stage.note is not None else "",
        warning=step.stage.warning(complete.extra) if step.stage.warning is not None else "",
        facts={name: complete.extra[name] for name in SOURCE_FACTS if name in complete.extra},
    )


def _check_rejects(result: StepResult, limit: float) -> None:
    records = max(result.rows, int(result.counters.get("utterances", 0))) + result.rejected
    if records and result.rejected > limit * records:
        reasons = sorted(
            (
                (int(n), name.removeprefix("rejected."))
                for name, n in result.counters.items()
                if name.startswith("rejected.")
            ),
            reverse=True,
        )
        listed = ", ".join(f"{name} {n}" for n, name in reasons[:4])
        raise TooManyRejects(
            f"{result.name} rejected {result.rejected} of {records} records ({listed}), over the limit of {limit:.0%}; "
            f"all others are committed; see {result.folder}/{REJECTS}, correct the input or raise --max-reject-fraction"
        )
