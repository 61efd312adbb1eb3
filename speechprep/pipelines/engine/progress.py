"""Progress reporting: the listener interface, and a thread that sums the workers' progress files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from speechprep.artifacts import storage
from speechprep.pipelines.engine.plan import Prepared, Step

INTERVAL = 0.5  # seconds between two reports


@dataclass(frozen=True)
class StepResult:
    """Result of a step.

    Attributes:
        name: name of the step.
        folder: output folder.
        kind: kind of the dataset or artifact.
        tasks: number of tasks of the step.
        tasks_run: number of tasks run by this run; 0 if all were committed.
        rows: rows of the dataset.
        seconds: seconds of audio.
        rejected: number of rejected records.
        counters: sums of the counters of the stage.
        wall: wall time in seconds.
        note: the result in words, empty for most stages.
        warning: a problem in words, empty without one.
        facts: counts of the files of the input, for a stage that reads files.
    """

    name: str
    folder: str
    kind: str
    tasks: int
    tasks_run: int
    rows: int
    seconds: float
    rejected: int
    counters: dict[str, float]
    wall: float
    note: str = ""
    warning: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Listener(Protocol):
    """Receiver of the progress of a run.

    `progressed` and `reached` are called from a second thread, the other methods from the thread of the driver.
    """

    def started(self, step: Step, todo: int, tasks: int, seconds: float, utterances: int) -> None:
        """A step begins: `todo` of `tasks` to run, with their seconds of audio and utterances (0 if unknown)."""

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Finished tasks, utterances, seconds of audio and rejects of the step in this run."""

    def reached(self, position: str) -> None:
        """Position within a long task, for example the iteration of k-means."""

    def finished(self, result: StepResult) -> None:
        """The step is complete."""


class NoListener:
    """Listener without output."""

    def started(self, step: Step, todo: int, tasks: int, seconds: float, utterances: int) -> None:
        """Does nothing."""

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Does nothing."""

    def reached(self, position: str) -> None:
        """Does nothing."""

    def finished(self, result: StepResult) -> None:
        """Does nothing."""


@contextmanager
def reporting_progress(prepared: Prepared, listener: Listener) -> Iterator[None]:
    """Report the progress of a step to the listener, twice a second, until the block ends."""
    stop = threading.Event()

    def report_until_stopped() -> None:
        while not stop.wait(INTERVAL):
            report(prepared, listener)

    thread = threading.Thread(target=report_until_stopped, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def report(prepared: Prepared, listener: Listener) -> None:
    """Report the commit records and the sums of the workers' progress files to the listener."""
    open_tasks = [task for task in prepared.tasks if task.shard not in prepared.committed]
    tasks = sum(storage.exists(task.record) for task in open_tasks)
    totals = {"utterances": 0, "seconds": 0.0, "rejects": 0}
    for name in storage.sizes(prepared.work):
        if name.startswith("progress-") and storage.TEMPORARY not in name:
            with suppress(FileNotFoundError):  # the worker replaces the file in this moment
                state = json.loads(storage.read_bytes(storage.join(prepared.work, name)))
                totals = {key: totals[key] + state[key] for key in totals}
                if state.get("note"):
                    listener.reached(state["note"])
    listener.progressed(tasks, int(totals["utterances"]), totals["seconds"], int(totals["rejects"]))
