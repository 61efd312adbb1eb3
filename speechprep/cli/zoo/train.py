"""`speechprep train`: a model of the zoo on what a run has made."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from speechprep.cli import options as opt

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep train sutlm --data out --out models/sutlm --set size=mini --set steps=2000
  speechprep train sutlm --data out --out models/text --set size=mini --set data=text
  speechprep train dmlm --data out --out models/asr --set size=mini --set tasks='[asr]'
  speechprep train slue --data out --out models/sa --set init=models/sutlm --set labels=train.tsv
  torchrun --nproc_per_node 8 -m speechprep train sutlm --data out --out models/sutlm --config sutlm.yaml

The same command again goes on where the last one was stopped, with the very next batch."""


class TrainCommand(TyperCommand):
    """A command whose help also lists the options of each model."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The common options, then those for `--set`."""
        super().format_options(ctx, formatter)
        from speechprep.models.training import MODELS
        from speechprep.models.training.options import TrainOptions
        from speechprep.options import option_rows

        common = set(TrainOptions.model_fields)
        with formatter.section("Options of every model (--set NAME=VALUE)"):
            formatter.write_dl(option_rows(TrainOptions))
        for name, module in MODELS.items():
            rows = option_rows(import_module(module).OPTIONS)
            with formatter.section(f"Options of {name}"):
                formatter.write_dl([row for row in rows if row[0] not in common])


@app.command(cls=TrainCommand, epilog=EXAMPLES)
def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="sutlm, dmlm or slue.")],
    *,
    data: Annotated[
        list[str],
        typer.Option("--data", "-d", metavar="FOLDER", help="Run folder, or tokens or packed; may be repeated."),
    ],
    out: opt.Out,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="YAML file of options; --set goes over it.")
    ] = None,
    settings: opt.Settings = None,
    seed: opt.Seed = None,
    rebuild: opt.Rebuild = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train a model of the zoo: `sutlm` or `dmlm`; or fine-tune a SUTLM on SLUE. On one device, or by torchrun on many.

    Needs: pip install 'speechprep[train]'.
    """
    from speechprep.errors import ConfigError, MissingBackend
    from speechprep.models.training import MODELS

    if model not in MODELS:
        raise ConfigError(f"no model {model!r}; there are: {', '.join(MODELS)}")
    module = import_module(MODELS[model])
    given = read_options(config, settings or [], module.OPTIONS)
    if seed is not None:
        given["seed"] = seed
    options = module.OPTIONS.of(given)
    try:
        from speechprep.models.training.run import train as fit
    except ModuleNotFoundError as error:
        raise MissingBackend.package("training", error.name or "torch", "train") from error
    done = fit(module.task(data, options), options, out, rebuild=rebuild, quiet=quiet)
    if not quiet and os.environ.get("RANK", "0") == "0":
        typer.echo(f"{out}: done" if done else f"{out}: stopped; the same command goes on")


def read_options(config: str | None, settings: list[str], model: type[Any]) -> dict[str, Any]:
    """Options of a YAML file, and `NAME=VALUE` settings over them, read by the types of the class `model`.

    Raises:
        ConfigError: no such file, not a mapping, or a setting of another form.
    """
    from pathlib import Path

    from speechprep.errors import ConfigError
    from speechprep.options import read_mapping, with_setting

    options: dict[str, Any] = {}
    if config is not None:
        if not Path(config).is_file():
            raise ConfigError(f"--config {config}: no such file")
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
