"""The table of commands and the program around them. A command's file is imported when the command is called."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from speechprep.cli.errors import STOPPED

EPILOG = """\b
Examples:
  speechprep demo                                    the whole chain on a small corpus that comes along
  speechprep run speech --input corpus --out out     a recipe on a corpus of your own
  speechprep align --input out --out out/words       one stage alone
  speechprep inspect out                             what is there

Every command says more with --help. An error is one line; --debug, anywhere on the line, shows the traceback."""


@dataclass(frozen=True)
class Entry:
    """Where a command lives, under which heading it is listed, and its line there."""

    module: str
    section: str
    help: str


CHAIN, STAGE, LOOK, MODEL, CHECK = "Whole chain", "One stage", "Look", "Models", "Check"
COMMANDS = {
    "demo": Entry("commands.run", CHAIN, "Run the whole chain on the demo corpus, or on a folder of your own"),
    "run": Entry("commands.run", CHAIN, "Run a recipe over a corpus"),
    "plan": Entry("commands.plan", CHAIN, "Show what a run would do, without doing it"),
    "ingest": Entry("commands.stages", STAGE, "Corpus in almost any layout -> utterances"),
    "align": Entry("commands.stages", STAGE, "utterances -> words with times"),
    "cluster": Entry("commands.stages", STAGE, "utterances -> codebook of units (k-means)"),
    "units": Entry("commands.stages", STAGE, "utterances + codebook -> units, one a frame"),
    "subword": Entry("commands.stages", STAGE, "units and text -> SentencePiece models and joint vocabulary"),
    "interleave": Entry("commands.stages", STAGE, "words + units -> tokens: unit, text, CST and AST rows"),
    "pack": Entry("commands.stages", STAGE, "tokens -> packed rows of fixed length for a trainer"),
    "pool": Entry("commands.stages", STAGE, "utterances -> pooled teacher vectors"),
    "index": Entry("commands.stages", STAGE, "utterances -> embeddings and a retrieval index"),
    "images": Entry("commands.stages", STAGE, "images + captions -> image_codes (dVAE)"),
    "codebook": Entry("commands.codebook", STAGE, "Codebook of others (km.bin, .npy) -> codebook"),
    "decode": Entry("commands.decode", LOOK, "Turn token rows back into words, units and times"),
    "search": Entry("commands.decode", LOOK, "Find sounds by a description"),
    "inspect": Entry("commands.inspect", LOOK, "Say what a dataset, artifact or run folder holds"),
    "filter": Entry("commands.filter", LOOK, "Hours kept by thresholds over the scores; words judged by them"),
    "train": Entry("zoo.train", MODEL, "Train a model of the zoo on a run"),
    "grid": Entry("zoo.grid", MODEL, "Train and ask every combination of some options"),
    "eval": Entry("zoo.evaluate", MODEL, "Score texts (WER, CIDEr, BLEU, SLUE) or a model (ASR, CRA, PELM)"),
    "verify": Entry("commands.verify", CHECK, "Recompute checksums, schemas and cross-references of a folder"),
    "backends": Entry("commands.backends", CHECK, "List the backends, or try one"),
    "doctor": Entry("commands.doctor", CHECK, "Measure what batches and precision do to units"),
}


class Commands(TyperGroup):
    """A group whose members are imported one by one, when they are asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        names: Any = dict.fromkeys(COMMANDS)
        self.commands = names  # the names alone serve "did you mean"

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command's file and build it; a stage of another package is a command by its own name."""
        if cmd_name not in COMMANDS:
            return import_module("speechprep.cli.commands.stages").third_party(cmd_name)
        found: Any = typer.main.get_command(import_module(f"speechprep.cli.{COMMANDS[cmd_name].module}").app)
        return found if found.name == cmd_name else found.commands[cmd_name]

    def get_params(self, ctx: Any) -> Any:
        """The group's own options, all of them switches: off is False, for typer imports pydantic to check a None."""
        found = super().get_params(ctx)
        for option in found:
            option.default = option.default or False
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table by headings, without importing anything."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name, e.help) for name, e in COMMANDS.items() if e.section == section])


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback form
    if value:
        from speechprep import __version__

        typer.echo(f"speechprep {__version__}")
        raise typer.Exit


def build() -> Any:
    """The command-line program."""
    # Without rich markup: its help pages take 0.4 s of imports, and they are boxes around the same words.
    app = typer.Typer(cls=Commands, rich_markup_mode=None, epilog=EPILOG, context_settings={"max_content_width": 110})

    @app.callback(invoke_without_command=True)
    def speechprep(
        ctx: typer.Context,
        *,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
    ) -> None:
        """Folders of speech into training data for models that read and hear."""
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())

    return typer.main.get_command(app)


def run(args: list[str]) -> int:
    """Parse and run; the exit code. Errors are raised."""
    code = build().main(args, prog_name="speechprep", standalone_mode=False)
    if code == STOPPED:  # the parser has turned Ctrl-C into a number
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
