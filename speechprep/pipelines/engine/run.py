"""Runs steps one after the other: prepare, run the open tasks, check rejects, write the manifest."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from speechprep.artifacts import card, manifest, storage
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.errors import SpeechprepError, TooManyRejects
from speechprep.pipelines.engine.beam.runner import Engine, run_tasks
from speechprep.pipelines.engine.execute import STATE, WORK, FolderSizes, Task, intact, read_record
from speechprep.pipelines.engine.failures import WorkerDied
from speechprep.pipelines.engine.plan import PLAN, Prepared, Step, prepare, stale_files
from speechprep.pipelines.engine.stage import Finished
from speechprep.pipelines.engine.watch import Listener, Silent, StepResult, watching

DEATHS_TO_REJECT = 2  # a process may be killed by anyone once; twice on one utterance is the utterance
ATTEMPTS = 12


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        rebuild: replace folders of another fingerprint.
        max_reject_fraction: largest share of rejected records of a step. Above it the run ends, after the commit of
            all good records.
        slice: (i, n): run only the tasks i, i + n, ...; for job arrays with a shared out folder.
    """

    engine: Engine = field(default_factory=Engine)
    rebuild: bool = False
    max_reject_fraction: float = 0.05
    slice: tuple[int, int] | None = None


class UnfinishedSlices(SpeechprepError):
    """A slice of a job array is done, other slices are not."""

    exit_code = 5


def run_steps(steps: list[Step], options: Options, listener: Listener | None = None) -> list[StepResult]:
    """Bring every step's folder up to date, in order.

    Raises:
        SpeechprepError: see the errors' own texts; everything committed stays, and the same command goes on from there.
    """
    return [run_step(step, options, listener or Silent()) for step in steps]


def run_step(step: Step, options: Options, listener: Listener) -> StepResult:
    """One step: see `run_steps`."""
    began = time.monotonic()
    with _work_folder(step, options) as work:
        alone = set(_dead(work)) if step.stage.local == "thread" else set()
        storage.remove(work)
        prepared = prepare(step, work=work, rebuild=options.rebuild, shares_disk=options.engine.shares_disk)
        todo = prepared.todo
        seconds = sum(task.seconds for task in todo)
        listener.started(step, len(todo), len(prepared.tasks), seconds)
        known = prepared.finished
        if known is None:
            _begin(prepared)
            _run_todo(prepared, alone, options, listener)
            known = _finish(prepared, options)
    storage.remove(storage.join(step.folder, WORK))
    result = _result(step, known, len(prepared.tasks), len(todo), time.monotonic() - began)
    listener.finished(result)
    _check_rejects(result, options.max_reject_fraction)
    return result


@contextmanager
def _work_folder(step: Step, options: Options) -> Iterator[str]:
    """A local folder for temporary files.

    Beside local output it stays after a crash: the next run finds the shard of the dead process in it. For output on
    object storage it is a temporary folder of this machine, and a crash is seen only within the run.
    """
    if not storage.is_local(step.folder):
        with tempfile.TemporaryDirectory(prefix="speechprep-") as folder:
            yield storage.join(folder, WORK)
        return
    work = storage.join(step.folder, WORK)
    # Other slices may be at work in the same folder.
    yield work if options.slice is None else storage.join(work, "slice-{}-of-{}".format(*options.slice))


def _begin(prepared: Prepared) -> None:
    """Mark the folder as incomplete: kept shards get commit records, and the manifest is removed."""
    folder = prepared.step.folder
    storage.write_bytes(storage.join(folder, STATE, PLAN), manifest.canonical(prepared.made_of).encode())
    known = manifest.find(folder)
    if known is None:
        return
    for task in prepared.tasks:
        if task.shard in prepared.committed:
            shards = [vars(s) for s in prepared.committed[task.shard]]
            storage.write_bytes(task.record, json.dumps({"key": task.key, "shards": shards}).encode())
    storage.remove(storage.join(folder, manifest.NAME))


def _run_todo(prepared: Prepared, alone: set[int], options: Options, listener: Listener) -> None:
    """Run uncommitted tasks. After the death of a worker, run the rest, without records with two deaths.

    A shard with a dead process is run again one record at a time (`alone`). Only deaths in this mode count for a
    record.

    Raises:
        WorkerDied: again and again, or in a shard but on none of its records.
    """
    died_on: Counter[str] = Counter()
    died_in: Counter[int] = Counter()  # shards, but on none of their records
    index, slices = options.slice or (0, 1)
    for attempt in range(ATTEMPTS):
        suspects = sorted(id for id, times in died_on.items() if times >= DEATHS_TO_REJECT)
        _update_committed(prepared)
        todo = [task for task in prepared.todo if task.shard % slices == index]
        todo = [replace(task, suspects=suspects, alone=task.shard in alone) for task in todo]
        if not todo:
            return
        try:
            with watching(prepared, listener):
                _run(todo, options.engine, prepared.step.stage.local)
        except WorkerDied as death:
            dead = _dead(prepared.work)
            for shard in dead.keys() & alone:
                died_on.update(dead[shard])
                died_in.update([] if dead[shard] else [shard])
            alone = alone | dead.keys()
            stuck = sorted(shard for shard, times in died_in.items() if times >= DEATHS_TO_REJECT)
            if stuck:
                where = f"{prepared.step.name}, shard {stuck[0]}"
                raise WorkerDied(f"{where}: its process dies, on none of its records in particular: {death}") from None
            if attempt == ATTEMPTS - 1:
                raise


def _run(todo: list[Task], engine: Engine, local: Literal["thread", "process"]) -> None:
    """Run tasks. A crash in a thread kills this process: suspicious tasks run first, one by one, in another
    process."""
    apart = [task for task in todo if task.alone and local == "thread"]
    if apart:
        run_tasks(apart, replace(engine, workers=1), "process")
    rest = [task for task in todo if task not in apart]
    if rest:
        run_tasks(rest, engine, local)


def _update_committed(prepared: Prepared) -> None:
    """Compare all commits with the folder, by one listing: add new ones, drop those with a missing file."""
    size_of = FolderSizes(prepared.step.folder)
    for task in prepared.tasks:
        earlier = prepared.committed.pop(task.shard, None)
        intact_now = earlier is not None and intact(task, earlier, size_of)
        committed = earlier if intact_now else read_record(task, size_of)
        if committed is not None:
            prepared.committed[task.shard] = committed


def _dead(work: str) -> dict[int, list[str]]:
    """Shards of dead processes, with the record under work if it ran alone. Read once: it is swept."""
    found: dict[int, list[str]] = {}
    for name in storage.folders(work):
        scratch = re.match(r"task-(\d+)-", name)
        if scratch:
            crumb = storage.join(work, f"crumb-{scratch[1]}.json")
            found[int(scratch[1])] = json.loads(storage.read_bytes(crumb) or "[]") if storage.exists(crumb) else []
            storage.remove(crumb)
            storage.remove(storage.join(work, name))
    return found


def _finish(prepared: Prepared, options: Options) -> Manifest:
    _update_committed(prepared)
    missing = [task.shard for task in prepared.todo]
    step = prepared.step
    if missing:
        if options.slice is not None:
            raise UnfinishedSlices(f"{step.name}: this slice is done, {len(missing)} shards of other slices are not")
        raise RuntimeError(f"{step.name}: shards {missing[:5]} have no commit record or no file after the run")
    shards = [s for i in sorted(prepared.committed) for s in prepared.committed[i]]
    for name in stale_files(prepared, shards):
        storage.remove(storage.join(step.folder, name))
    known = Manifest(
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
    card.write(step.folder, known)
    manifest.write(step.folder, known)
    storage.remove(storage.join(step.folder, STATE))
    return known


def _facts(prepared: Prepared, shards: list[Shard]) -> dict[str, Any]:
    step = prepared.step
    left = storage.join(step.folder, STATE, "facts.json")
    facts: dict[str, Any] = json.loads(storage.read_bytes(left)) if storage.exists(left) else {}
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
    found = {}
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
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _result(step: Step, known: Manifest, tasks: int, made: int, wall: float) -> StepResult:
    rejected = int(known.counters.get("rejected", 0))
    return StepResult(
        step.name, step.folder, known.kind, tasks, made, known.rows, known.seconds, rejected, known.counters, wall
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
            f"what is good is committed; see {result.folder}/rejects, mend the input or raise --max-reject-fraction"
        )
