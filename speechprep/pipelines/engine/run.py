"""Drives steps one after the other: prepare, run what is to do, check rejects, write the manifest."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from speechprep.artifacts import card, manifest, storage
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.errors import SpeechprepError, TooManyRejects
from speechprep.pipelines.engine.execute import STATE, WORK, read_record
from speechprep.pipelines.engine.failures import WorkerDied
from speechprep.pipelines.engine.plan import PLAN, Prepared, Step, prepare, stale_files
from speechprep.pipelines.engine.runner import Engine, run_tasks
from speechprep.pipelines.engine.stage import Finished

DEATHS_TO_REJECT = 2  # a process may be killed by anyone once; twice on one utterance is the utterance
ATTEMPTS = 12


@dataclass(frozen=True)
class StepResult:
    """What a step gave. `made` is the number of tasks run now (0: all was there); `wall` in seconds."""

    name: str
    folder: str
    kind: str
    tasks: int
    made: int
    rows: int
    seconds: float
    rejected: int
    counters: dict[str, float]
    wall: float


class Listener(Protocol):
    """Who watches a run. All calls come from the driver's thread but `progressed`, which comes from another."""

    def started(self, step: Step, todo: int, tasks: int, seconds: float) -> None:
        """A step has `todo` of `tasks` to do, `seconds` of audio in all (0: not known)."""

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """So much of the step is done in this run."""

    def noted(self, text: str) -> None:
        """Where long work of the step is."""

    def finished(self, result: StepResult) -> None:
        """The step is complete."""


class Silent:
    """A listener for tests and libraries."""

    def started(self, step: Step, todo: int, tasks: int, seconds: float) -> None:
        """Nothing."""

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Nothing."""

    def noted(self, text: str) -> None:
        """Nothing."""

    def finished(self, result: StepResult) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        rebuild: replace folders that were made otherwise.
        max_reject_fraction: rejects of a step over its records; more ends the run after all that is good is committed.
        slice: (i, n): do only the tasks i, i + n, ...; for job arrays that share the out folder.
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
    _clear_work(step)
    prepared = prepare(step, rebuild=options.rebuild, shares_disk=options.engine.shares_disk)
    todo = prepared.todo
    seconds = sum(task.seconds for task in todo)
    listener.started(step, len(todo), len(prepared.tasks), seconds)
    known = prepared.finished
    if known is None:
        _begin(prepared)
        _run_todo(prepared, options, listener)
        known = _finish(prepared, options)
    _clear_work(step)
    result = _result(step, known, len(prepared.tasks), len(todo), time.monotonic() - began)
    listener.finished(result)
    _check_rejects(result, options.max_reject_fraction)
    return result


def _begin(prepared: Prepared) -> None:
    """From here on the folder is not complete: shards that stay get records, and the manifest goes."""
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


def _run_todo(prepared: Prepared, options: Options, listener: Listener) -> None:
    """Run what is not committed; after the death of a worker, what is left, without whom it died on twice."""
    deaths: dict[str, int] = {}
    todo = prepared.todo
    if options.slice is not None:
        todo = [task for task in todo if task.shard % options.slice[1] == options.slice[0]]
    for attempt in range(ATTEMPTS):
        suspects, watched = _died(deaths, DEATHS_TO_REJECT), _died(deaths, 1)
        todo = [replace(t, suspects=suspects, watched=watched) for t in todo if not _record(prepared, t.shard)]
        if not todo:
            return
        try:
            with _watching(prepared, listener):
                run_tasks(todo, options.engine, prepared.step.stage.local)
        except WorkerDied:
            if attempt == ATTEMPTS - 1:
                raise
            for id in _crumbs(prepared):
                deaths[id] = deaths.get(id, 0) + 1


def _died(deaths: dict[str, int], least: int) -> list[str]:
    return sorted(id for id, times in deaths.items() if times >= least)


def _record(prepared: Prepared, shard: int) -> list[Shard] | None:
    if shard not in prepared.committed:
        found = read_record(prepared.tasks[shard])
        if found is None:
            return None
        prepared.committed[shard] = found
    return prepared.committed[shard]


def _crumbs(prepared: Prepared) -> list[str]:
    """Ids that the dead were working on. Read once: the crumbs are swept."""
    ids: list[str] = []
    folder = storage.join(prepared.step.folder, WORK)
    for name in sorted(storage.sizes(folder)):
        if name.startswith("crumb-") and storage.TEMPORARY not in name:
            ids += json.loads(storage.read_bytes(storage.join(folder, name)))
            storage.remove(storage.join(folder, name))
    return ids


@contextmanager
def _watching(prepared: Prepared, listener: Listener) -> Iterator[None]:
    """Sums the workers' progress files for the listener, twice a second."""
    stop = threading.Event()
    folder = storage.join(prepared.step.folder, WORK)

    def tell() -> None:
        done = {s.shard for s in prepared.tasks if s.shard not in prepared.committed and storage.exists(s.record)}
        totals = {"utterances": 0, "seconds": 0.0, "rejects": 0}
        for name in storage.sizes(folder):
            if name.startswith("progress-") and storage.TEMPORARY not in name:
                with suppress(FileNotFoundError):  # the worker replaces the file while we look
                    state = json.loads(storage.read_bytes(storage.join(folder, name)))
                    totals = {key: totals[key] + state[key] for key in totals}
                    if state.get("note"):
                        listener.noted(state["note"])
        listener.progressed(len(done), int(totals["utterances"]), totals["seconds"], int(totals["rejects"]))

    def watch() -> None:
        while not stop.wait(0.5):
            tell()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _finish(prepared: Prepared, options: Options) -> Manifest:
    missing = [task.shard for task in prepared.tasks if _record(prepared, task.shard) is None]
    step = prepared.step
    if missing:
        if options.slice is not None:
            raise UnfinishedSlices(f"{step.name}: this slice is done, {len(missing)} shards of other slices are not")
        raise RuntimeError(f"{step.name}: shards {missing[:5]} have no commit record after the run")
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


def _clear_work(step: Step) -> None:
    """Temporary files of this step; one driver at a time works on a folder."""
    storage.remove(storage.join(step.folder, WORK))
