"""Execution of steps: prepare, run the open tasks, write the manifest, check the rejects."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.artifacts.run import REJECTS
from speechprep.errors import SpeechprepError, StaleArtifact, TooManyRejects
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.plan import Prepared, Step, prepare
from speechprep.pipelines.engine.progress import Listener, NoListener, StepResult
from speechprep.pipelines.engine.recovery.attempts import crashed
from speechprep.pipelines.engine.recovery.completion import begin, flush_names, settle, stale_files
from speechprep.pipelines.engine.recovery.folder import has_leftovers
from speechprep.pipelines.engine.recovery.isolation import pop_crashes, run_todo, update_committed
from speechprep.pipelines.engine.recovery.lock import DriverLock
from speechprep.pipelines.engine.recovery.time_limit import TIME_LIMIT
from speechprep.pipelines.engine.retry import MAX_REJECT_FRACTION
from speechprep.pipelines.engine.scratch import remove_abandoned, temporary_folder
from speechprep.pipelines.engine.stage import Finished
from speechprep.pipelines.engine.task import STATE, WORK, read_body

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
        input_timeout: time limit in seconds for the reading of one input, besides its duration.
    """

    engine: Engine = field(default_factory=Engine)
    rebuild: bool = False
    max_reject_fraction: float = MAX_REJECT_FRACTION
    slice: tuple[int, int] | None = None
    input_timeout: float = TIME_LIMIT


class UnfinishedSlices(SpeechprepError):
    """The slice of this job is complete, other slices of the step are not."""

    exit_code = 5


def run_steps(
    steps: list[Step], options: Options, listener: Listener | None = None, run_folder: str | None = None
) -> list[StepResult]:
    """Run steps in order, until each folder is complete.

    Args:
        steps: the steps.
        options: of the execution.
        listener: receives the progress.
        run_folder: folder to lock from the first step with work until the end, besides the folder of each step.

    Raises:
        FolderInUse: another run works in one of the folders.
        SpeechprepError: a step failed. Committed tasks stay, and the next run continues from there.
    """
    remove_abandoned()
    results: list[StepResult] = []
    with _Locks(run_folder) as locks:
        for step in steps:
            results.append(_run_step(step, options, listener or NoListener(), locks))  # noqa: PERF401 - see `_Locks`
    return results


class _Locks:
    """Locks of a run, and the last flushes of its folders; they run in a second thread, during the next step."""

    def __init__(self, run_folder: str | None) -> None:
        self._run_folder = run_folder
        self._of_run: DriverLock | None = None
        self._background = ThreadPoolExecutor(1)
        self._settled: list[Future[None]] = []

    def __enter__(self) -> _Locks:
        return self

    def take(self, folder: str, slice_: tuple[int, int] | None) -> DriverLock:
        """Lock the folder of a step, and at the first call the run folder."""
        if self._run_folder is not None and self._of_run is None:
            self._of_run = DriverLock(self._run_folder, slice_).acquire()
        return DriverLock(folder, slice_).acquire()

    def settle(self, folder: str, lock: DriverLock) -> None:
        """Flush a complete folder and release it, in the second thread."""
        self._settled.append(self._background.submit(_settle, folder, lock))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._background.shutdown()
        if self._of_run is not None:
            self._of_run.release()
        for settled in self._settled:
            if kind is None:
                settled.result()


def _run_step(step: Step, options: Options, listener: Listener, locks: _Locks) -> StepResult:
    """Run one step: see `run_steps`."""
    began = time.monotonic()
    prepared = _finished(step, options)
    tasks_run = 0
    if prepared is None or prepared.finished is None:
        lock = locks.take(step.folder, options.slice)
        try:
            prepared, tasks_run = _complete(step, options, listener, lock)
        except BaseException:
            lock.release()
            raise
        locks.settle(step.folder, lock)
    else:
        listener.started(step, 0, len(prepared.tasks), 0, 0)
    assert prepared.finished is not None  # noqa: S101 - `_complete` ends with a manifest or an error
    result = _result(step, prepared.finished, len(prepared.tasks), tasks_run, time.monotonic() - began)
    listener.finished(result)
    _check_rejects(result, options.max_reject_fraction)
    return result


def _finished(step: Step, options: Options) -> Prepared | None:
    """The step if its folder is complete and up to date: then nothing is written, and no lock is needed."""
    if manifest.find_intact(step.folder) is None or has_leftovers(step.folder):
        return None
    with temporary_folder() as work:
        try:
            return prepare(step, work=work, max_reject_fraction=options.max_reject_fraction)
        except StaleArtifact:
            if not options.rebuild:
                raise
            return None


def _complete(step: Step, options: Options, listener: Listener, lock: DriverLock) -> tuple[Prepared, int]:
    """Run the open tasks of a locked folder and write its manifest. Returns the step and the number of tasks run."""
    with _work_folder(step, options) as work:
        one_by_one = set(pop_crashes(work)) if step.stage.local == "thread" else set()
        if options.engine.shares_disk and not storage.is_local(step.folder):
            one_by_one |= crashed(step.folder)
        storage.remove(work)
        prepared = prepare(
            step,
            work=work,
            rebuild=options.rebuild,
            shares_disk=options.engine.shares_disk,
            max_reject_fraction=options.max_reject_fraction,
            time_limit=options.input_timeout,
            check_hashes=True,
        )
        todo = prepared.todo
        seconds, records = sum(task.seconds for task in todo), sum(task.records for task in todo)
        listener.started(step, len(todo), len(prepared.tasks), seconds, records)
        if prepared.finished is None:
            begin(prepared)
            run_todo(prepared, one_by_one, options.engine, options.slice, listener)
            lock.check()
            prepared.finished = _finish(prepared, options)
        else:
            for name in stale_files(prepared, prepared.finished.shards):
                storage.remove(storage.join(step.folder, name))
    return prepared, len(todo)


def _settle(folder: str, lock: DriverLock) -> None:
    """The last flushes of a complete folder, and its release."""
    try:
        settle(folder)
        storage.remove(storage.join(folder, WORK))
    finally:
        lock.release()


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


def _finish(prepared: Prepared, options: Options) -> Manifest:
    update_committed(prepared)
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
    flush_names(step.folder, shards)
    manifest.write(step.folder, complete)
    return complete


def _facts(prepared: Prepared, shards: list[Shard]) -> dict[str, Any]:
    step = prepared.step
    facts: dict[str, Any] = dict(prepared.facts)
    if step.stage.schema is None:  # an artifact, made by one task
        facts |= (read_body(prepared.tasks[0]) or {}).get("facts", {})
        earlier = storage.join(step.folder, STATE, "facts.json")  # an interrupted run of an earlier version
        facts |= json.loads(storage.read_bytes(earlier)) if storage.exists(earlier) else {}
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
