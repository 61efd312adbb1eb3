"""Progress display: a bar on a terminal, plain lines elsewhere, nothing with --quiet and --json.

Progress is printed to stderr, results to stdout.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from speechprep.cli.output import clock, console, hours, plural, speed

if TYPE_CHECKING:
    from speechprep.pipelines.engine.plan import Step
    from speechprep.pipelines.engine.progress import StepResult

PRINT_EVERY = 10.0  # seconds between two plain lines of one step
BAR = 24  # characters


@dataclass
class State:
    """State of the current step.

    Attributes:
        name: name of the step.
        todo: number of tasks to run.
        audio: seconds of audio to process, 0 if unknown.
        utterances: number of utterances to process, 0 if unknown.
        tasks: finished tasks.
        audio_done: seconds of audio processed.
        utterances_done: utterances processed.
        rejects: rejected records.
        position: position within a long task.
        began: time of the start, of `time.monotonic`.
    """

    name: str
    todo: int = 0
    audio: float = 0.0
    utterances: int = 0
    tasks: int = 0
    audio_done: float = 0.0
    utterances_done: int = 0
    rejects: int = 0
    position: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.began

    @property
    def fraction(self) -> float:
        """Fraction of the work done: the largest of the fractions of tasks, audio and utterances."""
        by_tasks = self.tasks / self.todo if self.todo else 0.0
        by_audio = self.audio_done / self.audio if self.audio else 0.0
        by_utterances = self.utterances_done / self.utterances if self.utterances else 0.0
        return min(max(by_tasks, by_audio, by_utterances), 1.0)

    @property
    def remaining(self) -> str:
        """Remaining time at the mean speed so far.

        Empty in the first two seconds, below 2 % done, and after the last utterance: the time of final work, such as
        the training of `subword`, is unknown.
        """
        done = self.fraction
        known = 0.02 < done < 1 and self.elapsed > 2
        return clock(self.elapsed * (1 - done) / done) + " left" if known else ""

    def figures(self) -> list[str]:
        """Shards, audio done, times real time, rejects, position, remaining time; empty strings for unknown figures."""
        return [
            f"{self.tasks}/{self.todo} shards" if self.todo > 1 else "",
            hours(self.audio_done),
            speed(self.audio_done, self.elapsed),
            plural(self.rejects, "reject") if self.rejects else "",
            self.position,
            self.remaining,
        ]


class Display(AbstractContextManager["Display"]):
    """Listener of `run_steps` without progress, and base class of the displays. `warnings`: stream for warnings."""

    def __init__(self, warnings: TextIO | None = None) -> None:
        self.state: State | None = None
        self.warnings = warnings
        self.results: list[StepResult] = []
        self._lock = threading.Lock()

    def started(self, step: Step, todo: int, tasks: int, seconds: float, utterances: int) -> None:
        """A step begins: `todo` of `tasks` shards to compute."""
        with self._lock:
            self.state = State(step.name, todo, seconds, utterances)

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Progress of the step in this run."""
        with self._lock:
            if self.state is not None:
                self.state.tasks, self.state.rejects = tasks, rejects
                self.state.audio_done, self.state.utterances_done = seconds, utterances

    def reached(self, position: str) -> None:
        """Position within a long task."""
        with self._lock:
            if self.state is not None:
                self.state.position = position

    def finished(self, result: StepResult) -> None:
        """The step is complete."""
        with self._lock:
            self.results.append(result)
            self.state = None
        if result.warning and result.tasks_run and self.warnings is not None:
            print(f"warning: {result.name}: {result.warning}", file=self.warnings, flush=True)

    def working(self, name: str, seconds: float = 0.0) -> None:
        """Work outside the steps begins, for example the report; `seconds` of audio, 0 if unknown."""
        with self._lock:
            self.state = State(name, audio=seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Plain(Display):
    """Display for logs: a plain line at the beginning and end of a step, and every ten seconds between."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.stream = stream
        self._printed = 0.0  # time.monotonic() of the last line

    def _print(self, name: str, text: str) -> None:
        self._printed = time.monotonic()
        print(f"[{name}] {text}", file=self.stream, flush=True)

    def started(self, step: Step, todo: int, tasks: int, seconds: float, utterances: int) -> None:
        """See `Display`."""
        super().started(step, todo, tasks, seconds, utterances)
        if todo:
            audio = f", {hours(seconds)} of audio" if seconds else ""
            self._print(step.name, f"{todo} of {plural(tasks, 'shard')} to do{audio}")

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """See `Display`."""
        super().progressed(tasks, utterances, seconds, rejects)
        state = self.state
        if state is not None and time.monotonic() - self._printed >= PRINT_EVERY:
            self._print(state.name, ", ".join(f for f in [*state.figures(), f"{clock(state.elapsed)} so far"] if f))

    def finished(self, result: StepResult) -> None:
        """See `Display`."""
        super().finished(result)
        self._print(result.name, summary(result))

    def working(self, name: str, seconds: float = 0.0) -> None:
        """See `Display`."""
        super().working(name, seconds)
        self._print(name, "begins")


class Live(Display):
    """Display for terminals: a bar with figures, updated five times a second, below a line for each finished step."""

    def __init__(self) -> None:
        super().__init__()
        from rich.live import Live as RichLive

        self.console = console(stderr=True)
        self._live = RichLive(
            console=self.console, get_renderable=self._draw, refresh_per_second=5, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Live:
        self.state = State("preparing")
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def finished(self, result: StepResult) -> None:
        """See `Display`."""
        super().finished(result)
        mark, style = ("+", "green") if result.tasks_run else ("=", "dim")
        self.console.print(f"[{style}]{mark} {result.name:<12}[/] {summary(result)}")
        if result.warning and result.tasks_run:
            self.console.print(f"warning: {result.name}: {result.warning}", style="yellow", markup=False)
        self.state = State("preparing")

    def _draw(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        with self._lock:
            state = self.state
        if state is None:
            return ""
        has_fraction = state.fraction > 0
        bar = ProgressBar(
            total=1.0, completed=state.fraction, width=BAR, pulse=not has_fraction, animation_time=time.monotonic()
        )
        grid = Table.grid(padding=(0, 2))
        time_spent = f"[dim]{clock(state.elapsed)}[/]" if state.elapsed >= 1 else ""
        cells: list[Any] = [f"[bold]  {state.name:<11}[/]", bar, *(f for f in (time_spent, *state.figures()) if f)]
        for _ in cells:
            grid.add_column(no_wrap=True)
        grid.add_row(*cells)
        return grid


def summary(result: StepResult) -> str:
    """Result of a step in one line."""
    note = f"; {result.note}" if result.note else ""
    if not result.tasks_run:
        return f"unchanged: {_size(result)}{note}"
    part = "" if result.tasks_run == result.tasks else f", {result.tasks_run} of {plural(result.tasks, 'shard')}"
    computed = result.seconds * result.tasks_run / max(result.tasks, 1)
    parts = [_size(result), f"{result.wall:.1f} s", speed(computed, result.wall)]
    return ", ".join(text for text in parts if text) + part + note


def _size(result: StepResult) -> str:
    parts = [
        plural(result.rows, "row") if result.rows else "",
        hours(result.seconds),
        plural(result.rejected, "reject") if result.rejected else "",
    ]
    return ", ".join(part for part in parts if part) or "ready"


def display(*, quiet: bool, json: bool) -> Display:
    """The display for this terminal and these options."""
    if quiet or json:
        return Display(None if quiet else sys.stderr)
    return Live() if console(stderr=True).is_terminal else Plain(sys.stderr)
