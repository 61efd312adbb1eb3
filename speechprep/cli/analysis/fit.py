"""`speechprep fit`: parameters fitted on labelled data of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, table

if TYPE_CHECKING:
    from speechprep.pipelines.backends.aligners.boundaries import Boundaries

# A name of its own: a group is looked up by it even while it has one command.
app = typer.Typer(name="fit", rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep fit boundaries run --labels words.csv --licence "CC BY 4.0" --out boundaries"""


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def fit(ctx: typer.Context) -> None:
    """Fit parameters on labelled data, as an option for a stage."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("boundaries", epilog=EXAMPLES)
def boundaries(
    source: opt.RunOrWords,
    *,
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="TABLE",
            help="Table of labelled words (CSV, TSV, Parquet) with id, start, end (seconds) and label.",
        ),
    ],
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            metavar="TEXT",
            help="Licence of the labels. It is stored with the offsets: the licence of the labels holds for them too.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write.")],
    json: opt.Json = False,
) -> None:
    """Fit offsets of word boundaries by the classes of the phones on both sides, for aligner pocketsphinx.

    Align with the result by: --set aligner_options.boundaries=FOLDER. The printed errors are on speakers that were not
    used for fitting: one speaker at a time is left out.
    """
    from speechprep.artifacts.run import words_and_utterances
    from speechprep.pipelines.fit_boundaries import fit_boundaries

    result = fit_boundaries(*words_and_utterances(source), labels, licence)
    result.save(out)
    if json:
        print_json(_body(result, out))
    else:
        _print(result, out)


def _body(result: Boundaries, out: str) -> dict[str, Any]:
    return {
        "out": out,
        "fingerprint": result.fingerprint,
        "licence": result.licence,
        "labels": result.labels,
        "kinds": len(result.offsets) - 1,
        "evaluation": result.evaluation or None,
    }


def _print(result: Boundaries, out: str) -> None:
    screen = console()
    counts = result.labels
    screen.print(
        f"{out}: {len(result.offsets) - 1} kinds of borders from {counts['words']:,} words of {counts['speakers']:,} "
        "speakers",
        markup=False,
        soft_wrap=True,
    )
    if not result.evaluation:
        screen.print("one speaker: no error on other speakers can be given")
        return
    grid = table("mean absolute error of a border", "ms", right=("ms",), title="one speaker left out at a time")
    grid.add_row("as aligned", f"{result.evaluation['before']:.1f}")
    grid.add_row("with offsets", f"{result.evaluation['after']:.1f}")
    screen.print(grid)
    screen.print(f"90 % intervals hold {100 * result.evaluation['coverage']:.1f} % of the errors")
