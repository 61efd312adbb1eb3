"""`speechprep train`: one command for each model of the zoo, built from its declaration."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from speechprep import registry
from speechprep.cli import options as opt
from speechprep.cli.zoo.build import examples

if TYPE_CHECKING:
    from speechprep.models.zoo import Model

EXAMPLES = """\b
Examples:
  speechprep train sutlm --help
  speechprep train sutlm --data run --out models/sutlm --set size=mini --set steps=2000
  torchrun --nproc_per_node 8 -m speechprep train sutlm --data run --out models/sutlm --config sutlm.yaml

The same command resumes a stopped training with the next batch. Needs: pip install 'speechprep[train]'."""


class Trainings(TyperGroup):
    """Group with a command for each model of the zoo."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the models."""
        return list(registry.names("models"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build the command of a model from its declaration."""
        if cmd_name not in registry.names("models"):
            from speechprep.errors import ConfigError

            raise ConfigError(f"no model {cmd_name!r}; there are: {', '.join(registry.names('models'))}")
        from speechprep.models.zoo import find_model

        model = find_model(cmd_name)
        program = typer.Typer(rich_markup_mode=None, add_completion=False)
        text = f"Train {model.summary} (arXiv {model.paper}), on one device, or with torchrun on several."
        program.command(
            cmd_name, cls=TrainCommand, help=text, short_help=model.summary, epilog=examples(model.examples)
        )(_training(model))
        return typer.main.get_command(program)

    @property
    def commands(self) -> Any:
        """Name -> command, for "did you mean" and for the tests of the help."""
        return {name: self.get_command(None, name) for name in self.list_commands(None)}

    @commands.setter
    def commands(self, value: Any) -> None:
        """Ignored: the commands follow from the declarations."""


class TrainCommand(TyperCommand):
    """Command with the options of its model in its help."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the common options, then the options for `--set`."""
        super().format_options(ctx, formatter)
        from speechprep.models.training.options import TrainOptions
        from speechprep.models.zoo import find_model
        from speechprep.options import option_rows

        rows = option_rows(find_model(self.name or "").options)
        shared = set(TrainOptions.model_fields)
        with formatter.section(f"Options of {self.name} (--set NAME=VALUE)"):
            formatter.write_dl([row for row in rows if row[0] not in shared])
        with formatter.section("Options of every model (--set NAME=VALUE)"):
            formatter.write_dl([row for row in rows if row[0] in shared])


app = typer.Typer(name="train", cls=Trainings, rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def train(ctx: typer.Context) -> None:
    """Train a model of the zoo on a run."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


Data = Annotated[
    list[str],
    typer.Option(
        "--data", "-d", metavar="FOLDER", help="Run folder, or its tokens or packed. Repeat --data for several."
    ),
]
Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="YAML file of options. --set replaces its values.")
]


def _training(model: Model) -> Callable[..., None]:
    def training(
        *,
        data: Data,
        out: opt.Out,
        config: Config = None,
        settings: opt.Settings = None,
        seed: opt.Seed = None,
        rebuild: opt.Rebuild = False,
        quiet: opt.Quiet = False,
    ) -> None:
        values = read_options(config, settings or [], model.options)
        if seed is not None:
            values["seed"] = seed
        options = model.options.of(values)
        job = model.training_job(data, options)
        from speechprep.models.training.run import train as fit

        complete = fit(job, options, out, rebuild=rebuild, quiet=quiet)
        if not quiet and os.environ.get("RANK", "0") == "0":
            typer.echo(f"{out}: done" if complete else f"{out}: stopped; run the same command again to resume")

    return training


def read_options(config: str | None, settings: list[str], model: type[Any]) -> dict[str, Any]:
    """Options of a YAML file, replaced by `NAME=VALUE` settings; values are parsed by the types of the class `model`.

    Raises:
        ConfigError: no such file, not a mapping, or a setting of another form.
    """
    from pathlib import Path

    from speechprep.errors import ConfigError
    from speechprep.options import read_mapping, with_setting

    options: dict[str, Any] = {}
    if config is not None:
        if not Path(config).is_file():
            raise ConfigError(f"--config {config}: no such file; correct the path")
        try:
            options = read_mapping(Path(config).read_text(encoding="utf-8"), model)
        except ConfigError as error:
            raise ConfigError(f"--config {config}: {error}") from None
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting!r}: write it as OPTION=VALUE, for example --set steps=1000")
        options = with_setting(options, name, value, model)
    return options
