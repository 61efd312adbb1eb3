"""Runs for the commands: with a progress display, stoppable, and with a table of results at the end."""

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
    """Output of a command: errors alone, JSON, or tables for people."""

    quiet: bool = False
    json: bool = False


def run_recipe(recipe: Recipe, steps: list[Step], out: str, options: Options, show: Show) -> Outcome:
    """All steps of a recipe, with the display; see `pipelines.driver.session.run_recipe`."""
    from speechprep.pipelines.driver import session

    with stoppable(), display(quiet=show.quiet, json=show.json) as shown:
        return session.run_recipe(recipe, steps, out, options, shown, shown.working)


def run_stage(steps: list[Step], out: str, options: Options, show: Show) -> Outcome:
    """One stage, with the display; see `pipelines.driver.session.run_stage`."""
    from speechprep.pipelines.driver import session

    with stoppable(), display(quiet=show.quiet, json=show.json) as shown:
        return session.run_stage(steps, out, options, shown)


def print_outcome(outcome: Outcome, show: Show) -> None:
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
    rows = table("step", *right, right=right)
    for r in outcome.results:
        computed = r.seconds * r.made / max(r.tasks, 1)
        rows.add_row(
            r.name,
            number(r.rows) if r.rows else "",
            hours(r.seconds),
            number(r.rejected) if r.rejected else "",
            f"{r.made}/{r.tasks}" if r.made else f"[dim]{r.tasks} there[/]",
            f"{r.wall:.1f}" if r.made else "",
            speed(computed, r.wall) if r.made else "",
        )
    if outcome.report_wall is not None:
        rows.add_row("report", "", "", "", "", f"{outcome.report_wall:.1f}", "")
    if len(outcome.results) > 1:
        rows.add_section()
        times = speed(outcome.audio, outcome.wall) if outcome.made else ""
        note = "" if outcome.made else "nothing to do"
        rows.add_row("all", "", hours(outcome.audio), "", note, f"{outcome.wall:.1f}", times, style="bold")
    return rows
