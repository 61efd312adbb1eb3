"""Result of a run: the finished steps, wall time, status and error."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from speechprep.pipelines.engine.progress import StepResult


def now() -> str:
    """The current time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Outcome:
    """Result of a run.

    Attributes:
        out: the run folder.
        results: one for each finished step.
        wall: wall time in seconds.
        report: URI of the report, None without a report.
        report_wall: wall time of the report in seconds; None if the existing report is up to date.
        status: "done", "stopped" or "failed".
        error: type, message and exit code of the error, if the run ended early.
        started: time of the start in UTC, ISO 8601.
    """

    out: str
    results: list[StepResult]
    wall: float
    report: str | None = None
    report_wall: float | None = None
    status: str = "done"
    error: dict[str, Any] | None = None
    started: str = field(default_factory=now)

    @property
    def tasks_run(self) -> int:
        """Number of tasks run, over all steps; 0 if everything was up to date."""
        return sum(r.tasks_run for r in self.results)

    @property
    def audio(self) -> float:
        """Seconds of speech: the largest sum over the steps."""
        return max((r.seconds for r in self.results), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "status": self.status,
            "out": self.out,
            "report": self.report,
            "report_seconds": round(self.report_wall, 3) if self.report_wall is not None else None,
            "wall_seconds": round(self.wall, 3),
            "audio_seconds": round(self.audio, 3),
            "times_real_time": round(self.audio / self.wall, 2) if self.wall and self.tasks_run else None,
            "stages": [stage_entry(r) for r in self.results],
            **({"error": self.error} if self.error else {}),
        }


def stage_entry(result: StepResult) -> dict[str, Any]:
    """One step as JSON, for `run.json` and for `--json`."""
    share = result.tasks_run / result.tasks if result.tasks else 0.0
    times = result.seconds * share / result.wall if result.tasks_run and result.seconds and result.wall else None
    return {
        "name": result.name,
        "folder": result.folder,
        "kind": result.kind,
        "seconds": round(result.wall, 3),
        "audio_seconds": round(result.seconds, 3),
        "rows": result.rows,
        "rejected": result.rejected,
        "shards": result.tasks,
        "made": result.tasks_run,
        "reused": result.tasks_run == 0,
        "times_real_time": None if times is None else round(times, 2),
        "counters": result.counters,
        **({"note": result.note} if result.note else {}),
        **({"warning": result.warning} if result.warning else {}),
        **({"input": result.facts} if result.facts else {}),
    }
