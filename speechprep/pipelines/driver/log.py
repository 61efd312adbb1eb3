"""`run.log`: a dated line for each event of a run, kept in the run folder over all runs.

Object storage cannot append, so the file is rewritten at each event. `KEPT_BYTES` of the newest lines are kept.
"""

from __future__ import annotations

import traceback

from speechprep.artifacts import storage
from speechprep.pipelines.driver.outcome import now
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.watch import Listener, StepResult

NAME = "run.log"
KEPT_BYTES = 1 << 20


class Logged:
    """A listener in front of another one: writes each event to the log and passes it on.

    The file is created at the first event with work: a finished run on a read-only disk stays untouched.
    """

    def __init__(self, folder: str, listener: Listener, title: str) -> None:
        self.uri = storage.join(folder, NAME)
        self.listener = listener
        self._pending = [f"{now()} {title}"]
        self._written: bytes | None = None

    def line(self, text: str, *, write: bool = True) -> None:
        """Add a line; without `write` it waits for the next line."""
        self._pending.append(f"{now()} {text}")
        if write:
            self.flush()

    def flush(self) -> None:
        """Write the pending lines."""
        if self._written is None:
            self._written = storage.read_bytes(self.uri) if storage.exists(self.uri) else b""
        self._written += "".join(f"{line}\n" for line in self._pending).encode()
        self._pending = []
        if len(self._written) > KEPT_BYTES:
            self._written = self._written[-KEPT_BYTES:].partition(b"\n")[2]
        storage.write_bytes(self.uri, self._written)

    def error(self, error: BaseException) -> None:
        """The traceback of an error, of the worker's side where it is known."""
        trace = getattr(error, "trace", "") or "".join(traceback.format_exception(error))
        self.line(trace.rstrip().replace("\n", "\n  "))

    def started(self, step: Step, todo: int, tasks: int, seconds: float) -> None:
        """A step begins."""
        work = f"{todo} of {tasks} shards to do, {seconds:.1f} s of audio" if todo else f"unchanged, {tasks} shards"
        self.line(f"{step.name}: {work}", write=todo > 0)
        self.listener.started(step, todo, tasks, seconds)

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Progress is passed on and not logged."""
        self.listener.progressed(tasks, utterances, seconds, rejects)

    def noted(self, text: str) -> None:
        """Notes are passed on and not logged."""
        self.listener.noted(text)

    def finished(self, result: StepResult) -> None:
        """A step ends."""
        if result.made:
            counts = f"{result.rows} rows, {result.rejected} rejected, {result.seconds:.1f} s of audio"
            self.line(f"{result.name}: {counts}, {result.made} of {result.tasks} shards in {result.wall:.1f} s")
        self.listener.finished(result)
