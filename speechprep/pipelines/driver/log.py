"""`run.log`: a dated line for each event, for all runs of a run folder.

Object storage cannot append, so the file is rewritten at each event. It holds the newest `KEPT_BYTES` only.
"""

from __future__ import annotations

import traceback

from speechprep.artifacts import storage
from speechprep.pipelines.driver.outcome import now
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.progress import Listener, StepResult

NAME = "run.log"
KEPT_BYTES = 1 << 20


class LoggingListener:
    """Listener with a log file: writes each event to the log and forwards it to another listener.

    The file is created at the first step with tasks to run, so a complete run writes nothing.
    """

    def __init__(self, folder: str, listener: Listener, title: str) -> None:
        self.uri = storage.join(folder, NAME)
        self.listener = listener
        self._pending = [f"{now()} {title}"]
        self._written: bytes | None = None

    def line(self, text: str, *, write: bool = True) -> None:
        """Add a line; without `write` it is written together with the next line."""
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
        """Add the traceback of an error: of the worker if it is known, else of the driver."""
        trace = getattr(error, "trace", "") or "".join(traceback.format_exception(error))
        self.line(trace.rstrip().replace("\n", "\n  "))

    def started(self, step: Step, todo: int, tasks: int, seconds: float, utterances: int) -> None:
        """Log the beginning of a step."""
        work = f"{todo} of {tasks} shards to do, {seconds:.1f} s of audio" if todo else f"unchanged, {tasks} shards"
        self.line(f"{step.name}: {work}", write=todo > 0)
        self.listener.started(step, todo, tasks, seconds, utterances)

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Forward the progress; it is not logged."""
        self.listener.progressed(tasks, utterances, seconds, rejects)

    def reached(self, position: str) -> None:
        """Forward the position; it is not logged."""
        self.listener.reached(position)

    def finished(self, result: StepResult) -> None:
        """Log the result of a step."""
        if result.tasks_run:
            counts = f"{result.rows} rows, {result.rejected} rejected, {result.seconds:.1f} s of audio"
            self.line(f"{result.name}: {counts}, {result.tasks_run} of {result.tasks} shards in {result.wall:.1f} s")
        if result.warning and result.tasks_run:
            self.line(f"{result.name}: warning: {result.warning}")
        self.listener.finished(result)
