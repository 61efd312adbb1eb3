"""`speechprep run` and `speechprep demo`: a recipe over a corpus, up to the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from speechprep.cli import options as opt
from speechprep.cli.show import Show, print_outcome, run_recipe

if TYPE_CHECKING:
    from speechprep.pipelines.engine.run import Options

app = typer.Typer(rich_markup_mode=None, add_completion=False)

RUN_EXAMPLES = """\b
Examples:
  speechprep run speech --input corpus --out out
  speechprep run demo --input a.jsonl --input 'more/*.tar' --out out --workers 8
  speechprep run my.yaml --input corpus --out out --set cluster.k=500 --set align.min_score=-6
  speechprep run speech --input /data --out /shared/out --slice 3/16      on one of 16 machines
  speechprep run speech --input gs://b/in --out gs://b/out --runner DataflowRunner -- --project=p --region=r

The same command resumes a stopped run. It computes only missing shards."""
DEMO_EXAMPLES = """\b
Examples:
  speechprep demo
  speechprep demo --input my-recordings --out my-demo
  speechprep demo --set cluster.k=50 --out demo-50"""


def engine_options(
    *,
    runner: str,
    workers: int | None,
    beam_args: list[str] | None,
    rebuild: bool,
    max_rejects: float,
    slice_: str | None,
    input_timeout: float = 600.0,
) -> Options:
    """Options of the engine from the common options of the commands."""
    from speechprep.pipelines.engine.beam.runner import Engine
    from speechprep.pipelines.engine.run import Options

    engine = Engine(runner, workers or opt.cores(), opt.check_beam_args(runner, beam_args))
    return Options(engine, rebuild, max_rejects, opt.parse_slice(slice_), input_timeout)


def which_recipe(positional: str | None, option: str | None) -> str:
    """Name of the recipe, from the argument or from `--recipe`.

    Raises:
        ConfigError: no recipe is named, or two are named.
    """
    from speechprep.errors import ConfigError

    if (positional is None) == (option is None):
        from speechprep.pipelines.engine.recipe import shipped

        times = "named twice" if positional else "not named"
        raise ConfigError(f"the recipe is {times}; name one: {', '.join(shipped())}, or a YAML file")
    return positional or option or ""


@app.command(epilog=RUN_EXAMPLES)
def run(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a YAML file.")
    ] = None,
    beam_args: opt.BeamArgs = None,
    *,
    sources: opt.Sources,
    out: opt.Out,
    recipe_option: opt.RecipeName = None,
    settings: opt.Settings = None,
    workers: opt.Workers = None,
    seed: opt.Seed = None,
    rebuild: opt.Rebuild = False,
    max_reject_fraction: opt.MaxRejects = 0.05,
    slice_: opt.Slice = None,
    input_timeout: opt.InputTimeout = 600.0,
    runner: opt.Runner = "local",
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Run a recipe over a corpus. Writes a folder for each step, run.json, run.log and report.html.

    Set an option of a step with --set STEP.OPTION=VALUE.
    """
    from speechprep.pipelines.driver.request import recipe_steps

    if recipe is not None and recipe.startswith("--"):  # `--recipe NAME -- --OPTION`: an option of the runner
        beam_args = [recipe, *(beam_args or [])]
        recipe = None
    body, steps = recipe_steps(which_recipe(recipe, recipe_option), sources, out, settings=settings, seed=seed)
    how = engine_options(
        runner=runner,
        workers=workers,
        beam_args=beam_args,
        rebuild=rebuild,
        max_rejects=max_reject_fraction,
        slice_=slice_,
        input_timeout=input_timeout,
    )
    show = Show(quiet, json)
    print_outcome(run_recipe(body, steps, out, how, show), show)


@app.command(epilog=DEMO_EXAMPLES)
def demo(
    *,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="PATH",
            help="Your recordings. Repeat --input for further inputs.  [default: the demo corpus]",
        ),
    ] = None,
    out: opt.Out = "demo-out",
    recipe: opt.RecipeName = "demo",
    settings: opt.Settings = None,
    workers: opt.Workers = None,
    seed: opt.Seed = None,
    rebuild: opt.Rebuild = False,
    max_reject_fraction: opt.MaxRejects = 0.05,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Run the whole chain on the demo corpus (20 spoken sentences, 12 sounds), or on your recordings.

    It needs no network and no GPU, and takes less than a minute. Then open report.html in the out folder.
    """
    from speechprep.demo import corpus_path
    from speechprep.pipelines.driver.request import recipe_steps

    inputs = sources or [str(corpus_path())]
    body, steps = recipe_steps(recipe or "demo", inputs, out, settings=settings, seed=seed)
    how = engine_options(
        runner="local", workers=workers, beam_args=None, rebuild=rebuild, max_rejects=max_reject_fraction, slice_=None
    )
    show = Show(quiet, json)
    outcome = run_recipe(body, steps, out, how, show)
    print_outcome(outcome, show)
    if not (quiet or json):
        folders = {step.stage.writes: step.folder for step in steps}
        typer.echo("try next:")
        for line in _next_commands(folders, out, demo_corpus=not sources):
            typer.echo(f"  {line}")


def _next_commands(folders: dict[str, str], out: str, *, demo_corpus: bool) -> list[str]:
    lines = []
    if "tokens" in folders:
        lines.append(f"speechprep decode {folders['tokens']} --limit 3")
    if "index" in folders:
        lines.append(f'speechprep search {folders["index"]} "{"a dog barks" if demo_corpus else "rain"}"')
    return [*lines, f"speechprep inspect {out}", f"speechprep verify {out}"]
