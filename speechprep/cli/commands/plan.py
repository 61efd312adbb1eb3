"""`speechprep plan`: the steps of a recipe, each with its state and the number of shards to compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, hours, print_json, table

if TYPE_CHECKING:
    from speechprep.pipelines.driver.survey import Standing

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep plan speech --input corpus --out out
  speechprep plan demo --input corpus --out out --set cluster.k=500 --json"""


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
    json: opt.Json = False,
) -> None:
    """Show the work of `run` with the same arguments. No shard is computed and no file remains."""
    from rich.markup import escape

    from speechprep.cli.commands.run import which_recipe
    from speechprep.pipelines.driver.preflight import preflight
    from speechprep.pipelines.driver.request import recipe_steps
    from speechprep.pipelines.driver.survey import survey

    body, steps = recipe_steps(which_recipe(recipe, recipe_option), sources, out, settings=settings, seed=seed)
    standings, problems = survey(steps), preflight(steps)
    if json:
        print_json({"recipe": body.name, "out": out, "steps": [vars(s) for s in standings], "problems": problems})
        return
    screen = console()
    screen.print(f"[bold]{body.name}[/]  {body.description.strip()}", soft_wrap=True)
    screen.print(_table(standings))
    for problem in problems:
        screen.print(f"[red]problem[/] {escape(problem)}", soft_wrap=True)


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
