"""`speechprep fit`: parameters fitted on labelled data of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, plural, print_json, table

if TYPE_CHECKING:
    from speechprep.pipelines.fit_boundaries import Fit

# A name of its own: a group is looked up by it even while it has one command.
app = typer.Typer(name="fit", rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep fit boundaries run --labels words.csv --licence "CC BY 4.0" --out boundaries
  speechprep align --input run --out fitted/words --set aligner_options.boundaries=boundaries"""


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
            help="Licence of the labels. It is stored in the result: the licence of the labels holds for it too.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write.")],
    offsets_only: Annotated[
        bool,
        typer.Option("--offsets-only", help="Fit only the offsets. This takes seconds, a refiner minutes."),
    ] = False,
    snr: Annotated[
        str,
        typer.Option(
            "--snr",
            metavar="DB,DB,...",
            help="Signal-to-noise ratios in dB of the noise in the training of the refiner, beside clean audio; "
            "'none': clean audio only.",
        ),
    ] = "20,10,5,0",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the training and of the noise.")] = 0,
    json: opt.Json = False,
) -> None:
    """Fit corrections of word boundaries on labelled words, for aligner pocketsphinx.

    A refiner moves each boundary by up to 100 ms, by the spectrum around it. With few labels there are offsets by the
    classes of the phones on both sides instead. Align with the result by: --set aligner_options.boundaries=FOLDER.
    The printed errors are on speakers that were not used for fitting.
    """
    from speechprep.artifacts.run import words_and_utterances
    from speechprep.pipelines.fit_boundaries import Options, fit_boundaries

    levels = [] if snr == "none" else opt.signal_to_noise_ratios(snr)
    progress = None if json else _trainings
    options = Options(not offsets_only, levels, seed, progress)
    result = fit_boundaries(*words_and_utterances(source), labels, licence, options)
    result.boundaries.save(out)
    if json:
        print_json(_body(result, out))
    else:
        _print(result, out)


def _trainings(finished: int, total: int) -> None:
    typer.echo(f"refiner: {finished} of {total} trainings", err=True)


def _body(result: Fit, out: str) -> dict[str, Any]:
    fitted = result.boundaries
    return {
        "out": out,
        "fingerprint": fitted.fingerprint,
        "licence": fitted.licence,
        "labels": fitted.labels,
        "kinds": len(fitted.offsets) - 1,
        "refiner": fitted.refiner is not None,
        "no_refiner_because": result.reason,
        "evaluation": fitted.evaluation,
    }


def _print(result: Fit, out: str) -> None:
    screen = console()
    fitted = result.boundaries
    counts, evaluation = fitted.labels, fitted.evaluation
    used = "a refiner" if fitted.refiner is not None else f"offsets of {len(fitted.offsets) - 1} kinds of borders"
    screen.print(
        f"{out}: {used}, from {counts['words']:,} words of {plural(counts['speakers'], 'speaker')}",
        markup=False,
        soft_wrap=True,
    )
    if result.reason is not None:
        screen.print(f"no refiner: {result.reason}", markup=False, soft_wrap=True)
    title = f"mean absolute error of a border on other {evaluation['over']}, ms"
    if "refiner" in evaluation:
        screen.print(_levels(evaluation["refiner"]["levels"], title))
    elif "before" in evaluation:
        grid = table("audio", "as aligned", "offsets", "in interval", right=("as aligned", "offsets", "in interval"))
        grid.title = title
        figures = (f"{evaluation['before']:.1f}", f"{evaluation['after']:.1f}", f"{100 * evaluation['coverage']:.1f} %")
        grid.add_row("clean", *figures)
        screen.print(grid)
    else:
        screen.print("all labels are in one utterance: no error on others can be given")


def _levels(levels: list[dict[str, Any]], title: str) -> Any:
    """Errors at each level of noise."""
    columns = ("as aligned", "offsets", "refined", "in interval", "onsets within 100 ms", "before")
    grid = table("audio", *columns, right=columns, title=title)
    for level in levels:
        grid.add_row(
            "clean" if level["snr"] is None else f"{level['snr']:g} dB",
            *(f"{level[name]:.1f}" for name in ("before", "offsets", "after")),
            *(f"{100 * level[name]:.1f} %" for name in ("coverage", "near_after", "near_before")),
        )
    return grid
