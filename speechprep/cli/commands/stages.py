"""Commands of the stages. All have the same options; `--set` sets the options of the stage."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from speechprep.cli import options as opt
from speechprep.cli.show import Show, print_outcome, run_stage

if TYPE_CHECKING:
    from speechprep.pipelines.engine.stage import Stage


class StageCommand(TyperCommand):
    """Command with the options of its stage in its help."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the common options, then the options for `--set`."""
        super().format_options(ctx, formatter)
        from speechprep.options import option_rows
        from speechprep.pipelines.engine.stage import find_stage

        rows = option_rows(find_stage(self.name or "").config)
        if rows:
            with formatter.section("Options of the stage (--set NAME=VALUE)"):
                formatter.write_dl(rows)


def stage_settings(stage: str, recipe: str | None, settings: list[str]) -> tuple[dict[str, Any], int]:
    """Options of a stage and the seed: first from a recipe, if one is named, then from `--set NAME=VALUE`.

    Raises:
        ConfigError: a setting of another form, or a recipe without the stage.
    """
    from speechprep.errors import ConfigError
    from speechprep.options import with_setting
    from speechprep.pipelines.engine.recipe import load
    from speechprep.pipelines.engine.stage import find_stage

    options: dict[str, Any] = {}
    seed = 0
    if recipe is not None:
        body = load(recipe)
        steps = [step for step in body.steps if step.stage == stage]
        if not steps:
            raise ConfigError(f"the recipe {recipe!r} has no step of the stage {stage!r}; choose another --recipe")
        options, seed = dict(steps[0].options), body.seed
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting!r}: write it as OPTION=VALUE, for example --set k=100")
        options = with_setting(options, name.removeprefix(f"{stage}."), value, find_stage(stage).config)
    return options, seed


def _command(declared: Stage) -> Callable[..., None]:
    def stage(
        beam_args: opt.BeamArgs = None,
        *,
        sources: opt.Sources,
        out: opt.Out,
        recipe: opt.RecipeName = None,
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
        from speechprep.cli.commands.run import engine_options
        from speechprep.pipelines.driver.request import check_places
        from speechprep.pipelines.engine.recipe import single

        options, recipe_seed = stage_settings(declared.name, recipe, settings or [])
        if declared.plan is not None:
            check_places(sources, out)
        steps = single(declared, options, recipe_seed if seed is None else seed, sources, out)
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
        print_outcome(run_stage(steps, out, how, show), show)

    return _without_inputs(stage) if _needs_no_input(declared) else stage


def _needs_no_input(stage: Stage) -> bool:
    """True for a stage with optional inputs only: it can read files of its options alone."""
    reads = stage.reads_for({}, ())
    return stage.plan is None and bool(reads) and all(read.optional for read in reads)


def _without_inputs(function: Callable[..., None]) -> Callable[..., None]:
    """The function with an optional `--input`."""
    changed = signature(function, eval_str=True)
    parameters = [p.replace(default=[]) if p.name == "sources" else p for p in changed.parameters.values()]
    function.__signature__ = changed.replace(parameters=parameters)  # type: ignore[attr-defined]
    return function


def command(name: str) -> Any:
    """The command of a stage, with the help and examples from its declaration.

    Raises:
        ConfigError: no such stage.
    """
    from speechprep.pipelines.engine.stage import find_stage

    stage = find_stage(name)
    program = typer.Typer(rich_markup_mode=None, add_completion=False)
    program.command(name, cls=StageCommand, help=stage.help or f"Run the stage {name!r}.", epilog=_epilog(stage))(
        _command(stage)
    )
    return typer.main.get_command(program)


def _epilog(stage: Stage) -> str:
    lines = "\n".join(f"  {example}" for example in stage.examples)
    examples = f"\b\nExamples:\n{lines}\n\n" if lines else ""
    reads_files = stage.plan is not None
    return examples + (
        "" if reads_files else "--input takes a run folder, or the folder of a dataset or artifact in it."
    )
