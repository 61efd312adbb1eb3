"""Table of commands, and the program. The file of a command is imported on its call."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from speechprep import registry
from speechprep.cli.errors import STOPPED

EPILOG = """\b
Examples:
  speechprep demo                                    the whole chain on the small corpus of the package
  speechprep run speech --input corpus --out run     a recipe on your own corpus
  speechprep align --input run --out run/words       one stage
  speechprep inspect run                             the content of a run folder

Each command has its own --help. An error is one line; --debug shows the traceback."""


@dataclass(frozen=True)
class Entry:
    """A command: its module, and its section and line in `speechprep --help`."""

    module: str
    section: str
    help: str


CHAIN, STAGE, LOOK, MODEL, CHECK = "Whole chain", "One stage", "Look", "Models", "Check"
COMMANDS = {
    "demo": Entry("commands.run", CHAIN, "Run the whole chain on the demo corpus, or on a folder of your own"),
    "run": Entry("commands.run", CHAIN, "Run a recipe over a corpus"),
    "plan": Entry("commands.plan", CHAIN, "Show the work of a run without doing it"),
    "codebook": Entry("commands.codebook", STAGE, "Published centroids (km.bin, .npy) -> codebook"),
    "decode": Entry("commands.decode", LOOK, "Turn token rows back into words, units and times"),
    "search": Entry("commands.decode", LOOK, "Find sounds by a description"),
    "inspect": Entry("commands.inspect", LOOK, "Show the content of a dataset, artifact or run folder"),
    "compare": Entry("analysis.compare", LOOK, "Compare codebooks in a table and a page of plots"),
    "rejects": Entry("commands.rejects", LOOK, "Show the rejected records of a run, with reasons and retry commands"),
    "filter": Entry("commands.filter", LOOK, "Hours kept at each threshold of the scores; words with new verdicts"),
    "export": Entry("commands.export", LOOK, "Write words, segments and units in the format of another tool"),
    "push": Entry("commands.push", LOOK, "Upload a run to a dataset repository of the Hugging Face Hub"),
    "train": Entry("zoo.train", MODEL, "Train a model of the zoo on a run"),
    "grid": Entry("zoo.grid", MODEL, "Train and evaluate every combination of some options"),
    "generate": Entry("zoo.generate", MODEL, "Continue prompts of text or units with a trained model"),
    "eval": Entry(
        "zoo.evaluate", MODEL, "Score texts (WER, BLEU, ...), word times, units (ABX) or a model (ASR, CRA, PELM)"
    ),
    "fit": Entry("analysis.fit", MODEL, "Fit offsets of word boundaries on labelled words"),
    "verify": Entry("commands.verify", CHECK, "Recompute checksums, schemas and cross-references of a folder"),
    "repair": Entry("commands.verify", CHECK, "Make damaged files of a run again"),
    "backends": Entry("commands.backends", CHECK, "List the backends, or try one"),
    "models": Entry("commands.models", CHECK, "Check a Whisper model, or convert it to another form"),
    "doctor": Entry("commands.doctor", CHECK, "Measure the effect of batches and precision on units"),
}
OWN_COMMAND = {"filter", "import_codebook"}  # stages with other options: `filter`, `codebook import`


def stage_commands() -> list[str]:
    """Stages with a command of the common form, third-party stages included."""
    return [name for name in registry.names("stages") if name not in OWN_COMMAND]


class Commands(TyperGroup):
    """Group of commands, each imported on its call."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        names: Any = dict.fromkeys(self.list_commands(None))
        self.commands = names  # "did you mean" needs only the names

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands: of the table, then of the stages."""
        return [*COMMANDS, *stage_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the file of a command and build it."""
        if cmd_name not in COMMANDS:
            if cmd_name not in stage_commands():
                return None
            return import_module("speechprep.cli.commands.stages").command(cmd_name)
        program: Any = typer.main.get_command(import_module(f"speechprep.cli.{COMMANDS[cmd_name].module}").app)
        return program if program.name == cmd_name else program.commands[cmd_name]

    def get_params(self, ctx: Any) -> Any:
        """Options of the group, with the default False: for None, typer would import pydantic, which is slow."""
        options = super().get_params(ctx)
        for option in options:
            option.default = option.default or False
        return options

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Sections of the help, without the import of a command."""
        stages = [(name, registry.summary("stages", name)) for name in stage_commands()]
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl([*stages, *rows] if section == STAGE else rows)


def _version(value: bool) -> None:  # noqa: FBT001 - required by typer
    if value:
        from speechprep.version import __version__

        typer.echo(f"speechprep {__version__}")
        raise typer.Exit


def build() -> Any:
    """The command-line program."""
    # Help pages with rich markup need 0.4 s of imports.
    app = typer.Typer(cls=Commands, rich_markup_mode=None, epilog=EPILOG, context_settings={"max_content_width": 110})

    @app.callback(invoke_without_command=True)
    def speechprep(
        ctx: typer.Context,
        *,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
        ] = False,
        debug: Annotated[
            bool, typer.Option("--debug", help="Show the traceback of an error. It may stand anywhere on the line.")
        ] = False,
    ) -> None:
        """Turn folders of speech recordings into training data for speech-and-text language models."""
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    return typer.main.get_command(app)


def run(args: list[str]) -> int:
    """Parse the arguments, run the command and return the exit code. Errors are raised."""
    code = build().main(args, prog_name="speechprep", standalone_mode=False)
    if code == STOPPED:  # the parser returns a number for Ctrl-C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
