"""Option types shared by the commands: the same name, meaning and help everywhere."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from speechprep.errors import ConfigError

Sources = Annotated[
    list[str],
    typer.Option(
        "--input", "-i", metavar="PATH", help="Folder, file, glob or URI to read. Repeat --input for further inputs."
    ),
]
Out = Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder or URI to write into.")]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help="Recipe: name of a shipped recipe, or path of a YAML file."),
]


def _note_repeats(settings: list[str] | None) -> list[str] | None:
    """Print a note on stderr for each option set more than once."""
    if settings and len(settings) > 1:
        from speechprep.options import repeated

        for note in repeated(settings):
            typer.echo(note, err=True)
    return settings


RunOrWords = Annotated[str, typer.Argument(metavar="RUN_OR_WORDS", help="Run folder, or folder of words.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set one option. The value follows YAML 1.2. Repeat --set for further options.",
        callback=_note_repeats,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="Local workers.  [default: all usable cores]", show_default=False
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed of all random numbers.  [default: seed of the recipe, or 0]"),
]
BootstrapSamples = Annotated[
    int, typer.Option("--samples", metavar="N", min=0, help="Bootstrap samples for the interval; 0: no interval.")
]
BootstrapLevel = Annotated[
    float, typer.Option("--level", metavar="FRACTION", help="Fraction of the samples inside the interval.")
]
BootstrapSeed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the bootstrap.")]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Replace folders made with other options or inputs.")]
MaxRejects = Annotated[
    float,
    typer.Option(
        "--max-reject-fraction",
        metavar="FRACTION",
        min=0.0,
        max=1.0,
        help="Largest fraction of rejected records of a stage. Above it the run ends with an error.",
    ),
]
InputTimeout = Annotated[
    float,
    typer.Option(
        "--input-timeout",
        metavar="SECONDS",
        min=1.0,
        help="Time limit for reading one input, besides its duration. A slower one is rejected (input_timeout).",
    ),
]
Slice = Annotated[
    str | None,
    typer.Option(
        "--slice",
        metavar="I/N",
        help="Job array: compute only the shards I, I+N, I+2N, ... (I from 0). All jobs need the same out folder.",
    ),
]
Runner = Annotated[
    str,
    typer.Option(
        "--runner", metavar="NAME", help="'local', or the name of a Beam runner. Write options of the runner after --."
    ),
]
BeamArgs = Annotated[list[str] | None, typer.Argument(metavar="-- BEAM_OPTIONS", help="Options of the Beam runner.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print only the result, as JSON on stdout.")]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Dataset, artifact or run folder.")]


def cores() -> int:
    """Number of processor cores usable by this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_slice(text: str | None) -> tuple[int, int] | None:
    """(I, N) of the text `I/N`.

    Raises:
        ConfigError: another form, or I outside 0 .. N-1.
    """
    if text is None:
        return None
    first, slash, second = text.partition("/")
    if not (slash and first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise ConfigError(f"--slice {text!r}: write it as I/N with I from 0 to N-1, for example 0/8")
    return int(first), int(second)


def check_beam_args(runner: str, arguments: list[str] | None) -> list[str]:
    """Checked arguments after `--`, the options of a Beam runner.

    Raises:
        ConfigError: an argument without `--`, or options for the local runner.
    """
    options = arguments or []
    stray = [a for a in options if not a.startswith("--")]
    if stray:
        raise ConfigError(f"unexpected argument {stray[0]!r}; write options of a runner after -- as --NAME=VALUE")
    if options and runner == "local":
        raise ConfigError(
            f"{options[0]!r} is an option of a Beam runner; name the runner by --runner, for example FlinkRunner"
        )
    return options


def signal_to_noise_ratios(text: str) -> list[float]:
    """Ratios of an option `--snr`, in dB.

    Raises:
        ConfigError: not a number from -50 to 100.
    """
    from speechprep.errors import ConfigError

    ratios = []
    for part in text.split(","):
        try:
            ratio = float(part)
        except ValueError:
            ratio = float("nan")
        if not -50 <= ratio <= 100:
            raise ConfigError(f"--snr: {part!r} is not a ratio in dB; give numbers from -50 to 100, such as 20,10,5,0")
        ratios.append(ratio)
    return ratios
