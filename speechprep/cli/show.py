"""Runs for the commands: progress display, stop by signals, and the table of results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speechprep.cli.errors import stoppable
from speechprep.cli.output import console, hours, number, print_json, speed, table
from speechprep.cli.progress import display

if TYPE_CHECKING:
    from speechprep.pipelines.driver.outcome import Outcome
    from speechprep.pipelines.engine.plan import Step
    from speechprep.pipelines.engine.recipe import Recipe
    from speechprep.pipelines.engine.run import Options


@dataclass(frozen=True)
class Show:
    """Form of the output: errors only (`quiet`), JSON, or tables."""

    quiet: bool = False
    json: bool = False


def run_recipe(recipe: Recipe, steps: list[Step], out: str, options: Options, show: Show) -> Outcome:
    """Run a recipe with a progress display; see `pipelines.driver.session.run_recipe`."""
    from speechprep.pipelines.driver import session

    with stoppable(), display(quiet=show.quiet, json=show.json) as progress:
        return session.run_recipe(recipe, steps, out, options, progress, progress.working)


def run_stage(steps: list[Step], out: str, options: Options, show: Show) -> Outcome:
    """Run one stage with a progress display; see `pipelines.driver.session.run_stage`."""
    from speechprep.pipelines.driver import session

    with stoppable(), display(quiet=show.quiet, json=show.json) as progress:
        return session.run_stage(steps, out, options, progress)


def print_outcome(outcome: Outcome, show: Show) -> None:
    """Print the outcome as JSON, or as a table of the steps."""
    if show.json:
        print_json(outcome.to_dict())
    elif not show.quiet:
        screen = console()
        screen.print(_final_table(outcome))
        for result in outcome.results:
            if result.note:
                screen.print(f"{result.name}: {result.note}", soft_wrap=True)
        _print_quality(outcome)
        if outcome.report:
            screen.print(f"open {outcome.report}", soft_wrap=True)


def _print_quality(outcome: Outcome) -> None:
    """Agreement with labels and position tests of a fitted codebook."""
    from speechprep.artifacts.run import open_dataset
    from speechprep.pipelines.stages.cluster.quality import quality_lines

    for result in outcome.results:
        if result.kind == "codebook":
            for name, text in quality_lines(open_dataset(result.folder).extra):
                console().print(f"{name}: {text}", soft_wrap=True)


def _final_table(outcome: Outcome) -> Any:
    right = ("rows", "audio", "rejects", "shards", "seconds", "x real time")
    rows = table("step", *right, right=right)
    for r in outcome.results:
        computed = r.seconds * r.tasks_run / max(r.tasks, 1)
        rows.add_row(
            r.name,
            number(r.rows) if r.rows else "",
            hours(r.seconds),
            number(r.rejected) if r.rejected else "",
            f"{r.tasks_run}/{r.tasks}" if r.tasks_run else f"[dim]{r.tasks} there[/]",
            f"{r.wall:.1f}" if r.tasks_run else "",
            speed(computed, r.wall) if r.tasks_run else "",
        )
    if outcome.report_wall is not None:
        rows.add_row("report", "", "", "", "", f"{outcome.report_wall:.1f}", "")
    if len(outcome.results) > 1:
        rows.add_section()
        times = speed(outcome.audio, outcome.wall) if outcome.tasks_run else ""
        note = "" if outcome.tasks_run else "nothing to do"
        rows.add_row("all", "", hours(outcome.audio), "", note, f"{outcome.wall:.1f}", times, style="bold")
    return rows
