"""`speechprep plan`: the flow of a recipe and, step by step, what is done and what is still to do."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, hours, plural, print_json, table

if TYPE_CHECKING:
    from speechprep.pipelines.engine.plan import Prepared, Step

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep plan speech --input corpus --out out
  speechprep plan demo --input corpus --out out --set cluster.k=500 --json"""


@dataclass(frozen=True)
class Standing:
    """Where a step stands: done, todo, waits, conflict. `shards` and `todo` are None while not known."""

    name: str
    stage: str
    folder: str
    inputs: dict[str, str]
    state: str
    note: str = ""
    shards: int | None = None
    todo: int | None = None
    audio_seconds: float = 0.0


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
    """Show what `run` with the same arguments would do. Nothing is computed and no file is left."""
    from speechprep.cli.run import resolve, which_recipe

    found, steps = resolve(which_recipe(recipe, recipe_option), sources, out, settings, seed)
    standings = survey(steps)
    if json:
        print_json({"recipe": found.name, "out": out, "steps": [vars(s) for s in standings]})
        return
    screen = console()
    screen.print(f"[bold]{found.name}[/]  {found.description.strip()}", soft_wrap=True)
    screen.print(_table(standings))


def survey(steps: list[Step]) -> list[Standing]:
    """Where each step stands; a step behind one that is not done waits for it."""
    standings: list[Standing] = []
    unfinished: dict[str, str] = {}  # folder -> name of the step that will make it
    for step in steps:
        waits = sorted({unfinished[folder] for folder in step.inputs.values() if folder in unfinished})
        found = _standing(step, waits)
        if found.state != "done":
            unfinished[step.folder] = step.name
        standings.append(found)
    return standings


def _standing(step: Step, waits: list[str]) -> Standing:
    from speechprep.errors import SpeechprepError

    base = Standing(step.name, step.stage.name, step.folder, dict(step.inputs), "waits")
    if waits:
        return replace(base, note=f"waits for {', '.join(waits)}")
    try:
        prepared = _prepare(step)
    except SpeechprepError as error:
        return replace(base, state="conflict", note=str(error))
    todo, tasks = len(prepared.todo), len(prepared.tasks)
    seconds = prepared.finished.seconds if prepared.finished else sum(t.seconds for t in prepared.tasks)
    done = prepared.finished is not None
    note = "done" if done else f"{todo} of {plural(tasks, 'shard')} to do"
    return replace(base, state="done" if done else "todo", note=note, shards=tasks, todo=todo, audio_seconds=seconds)


def _prepare(step: Step) -> Prepared:
    """As `prepare`, without leaving the temporary files that the planning of a source makes."""
    from speechprep.pipelines.engine.plan import prepare

    with tempfile.TemporaryDirectory() as work:
        return prepare(step, work=work)


def _table(standings: list[Standing]) -> Any:
    made = table("step", "reads", "writes", "audio", "state", right=("audio",))
    colours = {"done": "green", "todo": "yellow", "waits": "dim", "conflict": "red"}
    for s in standings:
        folders = dict.fromkeys(folder.rstrip("/").rsplit("/", 1)[-1] for folder in s.inputs.values())
        reads = ", ".join(folders) or "input"
        label = s.name if s.name == s.stage else f"{s.name} ({s.stage})"
        note = f"[{colours[s.state]}]{s.note}[/]"
        made.add_row(label, f"{reads} ->", s.folder, hours(s.audio_seconds), note)
    return made
