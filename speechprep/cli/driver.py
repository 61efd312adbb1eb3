"""Carries out a run for the commands: display, `run.json`, report, and the summary at the end.

`run.json` in the out folder says how the folder was made: recipe, options, workers, and for each step what it gave and
how long it took. It is written at the end, also when the run fails. A step that had nothing to do keeps the record of
the run that made it; a run with nothing to do at all leaves the file, and the report, as they are.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from speechprep.cli.errors import Stopped, explain, stoppable
from speechprep.cli.output import console, hours, number, print_json, speed, table
from speechprep.cli.progress import Display, display

if TYPE_CHECKING:
    from speechprep.pipelines.engine.plan import Step
    from speechprep.pipelines.engine.recipe import Recipe
    from speechprep.pipelines.engine.run import Options
    from speechprep.pipelines.engine.watch import StepResult

RECORD = "run.json"
REPORT = "report.html"
FORMAT = 1


@dataclass(frozen=True)
class Show:
    """How a command speaks: nothing but errors, JSON, or for people."""

    quiet: bool = False
    json: bool = False


@dataclass
class Outcome:
    """What a run came to. `wall` in seconds; `report`: where it is, None where there is none.

    `report_wall`: seconds that building it took, None where the one that was there still shows the data.
    """

    out: str
    results: list[StepResult]
    wall: float
    report: str | None = None
    report_wall: float | None = None
    status: str = "done"
    error: dict[str, Any] | None = None
    started: str = field(default_factory=lambda: _now())

    @property
    def made(self) -> int:
        """Shards that were made now."""
        return sum(r.made for r in self.results)

    @property
    def audio(self) -> float:
        """Seconds of speech that went in: the most that any step saw."""
        return max((r.seconds for r in self.results), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "status": self.status,
            "out": self.out,
            "report": self.report,
            "report_seconds": round(self.report_wall, 3) if self.report_wall is not None else None,
            "wall_seconds": round(self.wall, 3),
            "audio_seconds": round(self.audio, 3),
            "times_real_time": round(self.audio / self.wall, 2) if self.wall and self.made else None,
            "stages": [_stage(r) for r in self.results],
            **({"error": self.error} if self.error else {}),
        }


def run_recipe(recipe: Recipe, steps: list[Step], out: str, options: Options, show: Show) -> Outcome:
    """All steps of a recipe, then `run.json` and the report.

    Raises:
        SpeechprepError: what ended the run; `run.json` has it too.
    """
    from speechprep.pipelines.engine.run import run_steps

    outcome = Outcome(out, [], 0.0)
    began = time.monotonic()
    with display(quiet=show.quiet, json=show.json) as shown:
        outcome.results = shown.results
        try:
            with stoppable():
                run_steps(steps, options, shown)
        except BaseException as error:
            line, code = explain(error)
            outcome.status = "stopped" if isinstance(error, Stopped) else "failed"
            outcome.error = {"type": type(error).__name__, "message": line, "exit_code": code}
            outcome.wall = time.monotonic() - began
            with suppress(OSError):  # the disk may be what is wrong; its error must not hide the first one
                _record(recipe, outcome, options)
            raise
        outcome.wall = time.monotonic() - began
        if outcome.made:
            _record(recipe, outcome, options)
        outcome.report, built = _report(out, shown)
        outcome.report_wall = time.monotonic() - began - outcome.wall if built else None
        outcome.wall = time.monotonic() - began
    return outcome


def run_stage(steps: list[Step], out: str, options: Options, show: Show) -> Outcome:
    """One stage alone (with what it needs made before it); no record, no report."""
    from speechprep.pipelines.engine.run import run_steps

    began = time.monotonic()
    with stoppable(), display(quiet=show.quiet, json=show.json) as shown:
        run_steps(steps, options, shown)
    return Outcome(out, shown.results, time.monotonic() - began)


def tell(outcome: Outcome, show: Show) -> None:
    """Print the outcome: JSON, or the final table."""
    if show.json:
        print_json(outcome.to_dict())
    elif not show.quiet:
        screen = console()
        screen.print(_final_table(outcome))
        if outcome.report:
            screen.print(f"open {outcome.report}", soft_wrap=True)


def _final_table(outcome: Outcome) -> Any:
    right = ("rows", "audio", "rejects", "shards", "seconds", "x real time")
    made = table("step", *right, right=right)
    for r in outcome.results:
        done = r.seconds * r.made / max(r.tasks, 1)
        made.add_row(
            r.name,
            number(r.rows) if r.rows else "",
            hours(r.seconds),
            number(r.rejected) if r.rejected else "",
            f"{r.made}/{r.tasks}" if r.made else f"[dim]{r.tasks} there[/]",
            f"{r.wall:.1f}" if r.made else "",
            speed(done, r.wall) if r.made else "",
        )
    if outcome.report_wall is not None:
        made.add_row("report", "", "", "", "", f"{outcome.report_wall:.1f}", "")
    if len(outcome.results) > 1:
        made.add_section()
        times = speed(outcome.audio, outcome.wall) if outcome.made else ""
        note = "" if outcome.made else "nothing to do"
        made.add_row("all", "", hours(outcome.audio), "", note, f"{outcome.wall:.1f}", times, style="bold")
    return made


def _stage(r: StepResult) -> dict[str, Any]:
    return {
        "name": r.name,
        "folder": r.folder,
        "kind": r.kind,
        "seconds": round(r.wall, 3),
        "audio_seconds": round(r.seconds, 3),
        "rows": r.rows,
        "rejected": r.rejected,
        "shards": r.tasks,
        "made": r.made,
        "reused": r.made == 0,
        "times_real_time": round(r.seconds * r.made / r.tasks / r.wall, 2) if r.made and r.seconds and r.wall else None,
        "counters": r.counters,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_record(out: str) -> dict[str, Any]:
    """`run.json` of a run folder; empty where there is none or it is not ours."""
    from speechprep.artifacts import storage

    where = storage.join(out, RECORD)
    if not storage.exists(where):
        return {}
    try:
        found = json.loads(storage.read_bytes(where))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write_record(out: str, record: dict[str, Any]) -> None:
    from speechprep.artifacts import storage

    text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=False) + "\n"
    storage.write_bytes(storage.join(out, RECORD), text.encode())


def _record(recipe: Recipe, outcome: Outcome, options: Options) -> None:
    """Write `run.json`. Where nothing was ever committed (a mistake in the command), there is no run to record."""
    from speechprep.artifacts import manifest, storage

    if not storage.folders(outcome.out):
        return
    earlier = {s["name"]: s for s in read_record(outcome.out).get("stages", []) if isinstance(s, dict) and "name" in s}
    stages: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for result in outcome.results:
        known = manifest.find(result.folder)
        versions |= known.versions if known else {}
        fingerprint = known.fingerprint if known else None
        before = earlier.get(result.name)
        if result.made == 0 and before and before.get("fingerprint") == fingerprint:
            stages.append(before)
        else:
            stages.append({**_stage(result), "fingerprint": fingerprint, "workers": options.engine.workers})
    _write_record(
        outcome.out,
        {
            "format": FORMAT,
            "recipe": recipe.name,
            "description": recipe.description,
            "status": outcome.status,
            "error": outcome.error,
            "started": outcome.started,
            "finished": _now(),
            "wall_seconds": round(outcome.wall, 3),
            "audio_seconds": round(outcome.audio, 3),
            "runner": options.engine.runner,
            "workers": options.engine.workers,
            "max_reject_fraction": options.max_reject_fraction,
            "stages": stages,
            "steps": recipe.model_dump(mode="json"),
            "versions": versions,
        },
    )


def _contents(out: str) -> str:
    """Digest of what the complete folders of a run hold."""
    from speechprep import __version__
    from speechprep.artifacts import manifest, storage

    found = {}
    for name in storage.folders(out):
        known = manifest.find(storage.join(out, name))
        if known is not None:
            found[name] = [known.fingerprint, known.content]
    return manifest.digest([__version__, found])


def _report(out: str, shown: Display) -> tuple[str, bool]:
    """Build the report unless the one that is there shows the same data; where it is, and whether it was built."""
    from speechprep.artifacts import storage

    where = storage.join(out, REPORT)
    contents, record = _contents(out), read_record(out)
    if record.get("report_of") == contents and storage.exists(where):
        return where, False
    shown.working("report")
    from speechprep.pipelines.report import build_report

    build_report(out)
    _write_record(out, {**record, "report_of": contents})
    return where, True
