"""Progress reporting: the listener interface, and a thread with the sums of the workers' progress files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from speechprep.artifacts import storage
from speechprep.pipelines.engine.plan import Prepared, Step


@dataclass(frozen=True)
class StepResult:
    """Result of a step. `made` is the number of tasks run now (0: all was there); `wall` in seconds."""

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
    """Who watches a run. All calls come from the driver's thread, except `progressed`, from another thread."""

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


@contextmanager
def watching(prepared: Prepared, listener: Listener) -> Iterator[None]:
    """Sums the workers' progress files for the listener, twice a second."""
    stop = threading.Event()

    def tell() -> None:
        done = {s.shard for s in prepared.tasks if s.shard not in prepared.committed and storage.exists(s.record)}
        totals = {"utterances": 0, "seconds": 0.0, "rejects": 0}
        for name in storage.sizes(prepared.work):
            if name.startswith("progress-") and storage.TEMPORARY not in name:
                with suppress(FileNotFoundError):  # the worker replaces the file while we look
                    state = json.loads(storage.read_bytes(storage.join(prepared.work, name)))
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
