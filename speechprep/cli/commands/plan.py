"""`speechprep plan`: the steps of a recipe, each with its state and the number of shards to compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, hours, print_json, table

if TYPE_CHECKING:
    from speechprep.pipelines.driver.survey import Projection, Standing

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep plan speech --input corpus --out out
  speechprep plan demo --input corpus --out out --set cluster.k=500 --json
  speechprep plan speech --input corpus --out run --hours 960    disk and time of 960 h, from the finished steps"""


@app.command(epilog=EXAMPLES)
def plan(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a YAML file.")
    ] = None,
    *,
    sources: opt.Sources,
    out: opt.Out,
    recipe_option: opt.RecipeName = None,
    settings: opt.Settings = None,
    seed: opt.Seed = None,
    at_hours: Annotated[
        float | None,
        typer.Option(
            "--hours",
            metavar="H",
            min=0.0,
            help="Also show disk and time for H hours of audio, in proportion to the finished steps in the out folder.",
        ),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Show the work of `run` with the same arguments. No shard is computed and no file remains."""
    from rich.markup import escape

    from speechprep.cli.commands.run import which_recipe
    from speechprep.pipelines.driver.preflight import preflight
    from speechprep.pipelines.driver.request import recipe_steps
    from speechprep.pipelines.driver.survey import project, survey

    body, steps = recipe_steps(which_recipe(recipe, recipe_option), sources, out, settings=settings, seed=seed)
    standings, problems = survey(steps), preflight(steps)
    projected = None if at_hours is None else project(standings, at_hours * 3600)
    if json:
        entries = [vars(s) for s in standings]
        if projected is not None:
            entries = [{**e, "projected": p and vars(p)} for e, p in zip(entries, projected, strict=True)]
        print_json({"recipe": body.name, "out": out, "steps": entries, "problems": problems})
        return
    screen = console()
    screen.print(f"[bold]{body.name}[/]  {body.description.strip()}", soft_wrap=True)
    screen.print(_table(standings))
    if projected is not None and at_hours is not None:
        screen.print(_projection_table(standings, projected, at_hours))
        screen.print("In proportion to the finished steps; sample, cluster and subword need less. blank: not known yet")
    for problem in problems:
        screen.print(f"[red]problem[/] {escape(problem)}", soft_wrap=True)


def _projection_table(standings: list[Standing], projected: list[Projection | None], at_hours: float) -> Any:
    right = (f"disk at {at_hours:g} h", f"hours of work at {at_hours:g} h")
    grid = table("step", *right, right=right)
    for standing, step in zip(standings, projected, strict=True):
        wall = step and step.wall_seconds
        grid.add_row(
            standing.name, f"{step.bytes / 1e9:,.2f} GB" if step else "", f"{wall / 3600:,.1f}" if wall else ""
        )
    known = [step for step in projected if step is not None]
    walls = sum(step.wall_seconds or 0.0 for step in known)
    grid.add_section()
    grid.add_row("all", f"{sum(step.bytes for step in known) / 1e9:,.2f} GB", f"{walls / 3600:,.1f}", style="bold")
    return grid


def _table(standings: list[Standing]) -> Any:
    grid = table("step", "reads", "writes", "audio", "state", right=("audio",))
    colours = {"done": "green", "todo": "yellow", "waits": "dim", "conflict": "red"}
    for s in standings:
        folders = dict.fromkeys(folder.rstrip("/").rsplit("/", 1)[-1] for folder in s.inputs.values())
        reads = ", ".join(folders) or "input"
        label = s.name if s.name == s.stage else f"{s.name} ({s.stage})"
        note = f"[{colours[s.state]}]{s.note}[/]"
        grid.add_row(label, f"{reads} ->", s.folder, hours(s.audio_seconds), note)
    return grid
