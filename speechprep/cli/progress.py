"""Progress of a run: a live line on a terminal, plain lines elsewhere, nothing with --quiet and --json.

All of it goes to stderr; results go to stdout.
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
    from speechprep.pipelines.engine.watch import StepResult

SAY_EVERY = 10.0  # seconds between two plain lines of one step
BAR = 24


@dataclass
class State:
    """State of the present step. `audio`: seconds to process (0: unknown); `done`: seconds processed."""

    name: str
    todo: int = 0
    audio: float = 0.0
    tasks: int = 0
    done: float = 0.0
    rejects: int = 0
    note: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.began

    @property
    def fraction(self) -> float:
        """Fraction of the work done: by audio if its length is known, else by shards."""
        by_tasks = self.tasks / self.todo if self.todo else 0.0
        by_audio = self.done / self.audio if self.audio else 0.0
        return min(max(by_tasks, by_audio), 1.0)

    @property
    def left(self) -> str:
        """Remaining time by the mean speed so far; empty in the first two seconds and below 2 % done."""
        done = self.fraction
        return clock(self.elapsed * (1 - done) / done) + " left" if done > 0.02 and self.elapsed > 2 else ""

    def figures(self) -> list[str]:
        """Shards, audio done, times real time, rejects, note, remaining time; empty strings for unknown figures."""
        return [
            f"{self.tasks}/{self.todo} shards" if self.todo > 1 else "",
            hours(self.done),
            speed(self.done, self.elapsed),
            plural(self.rejects, "reject") if self.rejects else "",
            self.note,
            self.left,
        ]


class Display(AbstractContextManager["Display"]):
    """Listener of `run_steps` without output: base of the displays with output."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.results: list[StepResult] = []
        self._lock = threading.Lock()

    def started(self, step: Step, todo: int, tasks: int, seconds: float) -> None:
        """A step begins: `todo` of `tasks` shards to compute."""
        with self._lock:
            self.state = State(step.name, todo, seconds)

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """Progress of the step in this run."""
        with self._lock:
            if self.state is not None:
                self.state.tasks, self.state.done, self.state.rejects = tasks, seconds, rejects

    def noted(self, text: str) -> None:
        """Position within long work of the step."""
        with self._lock:
            if self.state is not None:
                self.state.note = text

    def finished(self, result: StepResult) -> None:
        """The step is complete."""
        with self._lock:
            self.results.append(result)
            self.state = None

    def working(self, name: str) -> None:
        """Work outside the steps begins, for example the report."""
        with self._lock:
            self.state = State(name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Plain(Display):
    """Lines without control characters, for logs: when a step begins and ends, and every ten seconds between."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._said = 0.0

    def _say(self, name: str, text: str) -> None:
        self._said = time.monotonic()
        print(f"[{name}] {text}", file=self.stream, flush=True)

    def started(self, step: Step, todo: int, tasks: int, seconds: float) -> None:
        """See `Display`."""
        super().started(step, todo, tasks, seconds)
        if todo:
            audio = f", {hours(seconds)} of audio" if seconds else ""
            self._say(step.name, f"{todo} of {plural(tasks, 'shard')} to do{audio}")

    def progressed(self, tasks: int, utterances: int, seconds: float, rejects: int) -> None:
        """See `Display`."""
        super().progressed(tasks, utterances, seconds, rejects)
        state = self.state
        if state is not None and time.monotonic() - self._said >= SAY_EVERY:
            self._say(state.name, ", ".join(f for f in [*state.figures(), f"{clock(state.elapsed)} so far"] if f))

    def finished(self, result: StepResult) -> None:
        """See `Display`."""
        super().finished(result)
        self._say(result.name, summary(result))

    def working(self, name: str) -> None:
        """See `Display`."""
        super().working(name)
        self._say(name, "begins")


class Live(Display):
    """A bar with figures, redrawn five times a second; a finished step stays as a line above it."""

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
        mark, style = ("+", "green") if result.made else ("=", "dim")
        self.console.print(f"[{style}]{mark} {result.name:<12}[/] {summary(result)}")
        self.state = State("preparing")

    def _draw(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        with self._lock:
            state = self.state
        if state is None:
            return ""
        known = state.fraction > 0
        bar = ProgressBar(
            total=1.0, completed=state.fraction, width=BAR, pulse=not known, animation_time=time.monotonic()
        )
        grid = Table.grid(padding=(0, 2))
        time_spent = f"[dim]{clock(state.elapsed)}[/]" if state.elapsed >= 1 else ""
        cells: list[Any] = [f"[bold]  {state.name:<11}[/]", bar, *(f for f in (time_spent, *state.figures()) if f)]
        for _ in cells:
            grid.add_column(no_wrap=True)
        grid.add_row(*cells)
        return grid


def summary(result: StepResult) -> str:
    """A finished step in one line."""
    if not result.made:
        return f"unchanged: {_size(result)}"
    again = "" if result.made == result.tasks else f", {result.made} of {plural(result.tasks, 'shard')}"
    done = result.seconds * result.made / max(result.tasks, 1)
    parts = [_size(result), f"{result.wall:.1f} s", speed(done, result.wall)]
    return ", ".join(part for part in parts if part) + again


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
        return Display()
    return Live() if console(stderr=True).is_terminal else Plain(sys.stderr)
