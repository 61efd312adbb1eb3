"""`speechprep compare`: codebooks side by side, as a table and as a page of plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, table
from speechprep.cli.zoo.abx import Context, PhoneLimit, SegmentLimit, SpeakerLimit, Vectors

if TYPE_CHECKING:
    from speechprep.pipelines.comparison.codebooks import Compared

app = typer.Typer(rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep compare run out
  speechprep compare run/codebook out/codebook --phones phones.csv --context phone --json
  speechprep compare run out --out comparison.html"""


@app.command("compare", epilog=EXAMPLES)
def compare(
    codebooks: Annotated[
        list[str], typer.Argument(metavar="CODEBOOK...", help="Codebook folders, or run folders with a codebook.")
    ],
    *,
    phones: Annotated[
        str | None,
        typer.Option(
            "--phones",
            metavar="TABLE",
            help="Table of phones (CSV, TSV, Parquet) with id, start, end (seconds) and label, for purity, PNMI and "
            "ABX on the units of each run.  [default: purity and PNMI from the fit, no ABX]",
        ),
    ] = None,
    context: Context = "triphone",
    vectors: Vectors = "one-hot",
    max_segments: SegmentLimit = 10,
    max_speakers: SpeakerLimit = 5,
    max_phones: PhoneLimit = 200_000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the subsampling of ABX.")] = 0,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Write the table and plots to this HTML file.")
    ] = None,
    json: opt.Json = False,
) -> None:
    """Compare codebooks: purity, PNMI, ABX, shift test, bitrate, and tokens for a second of speech.

    An empty cell is an unknown figure. Units and the subword model of a codebook are read from its run folder.
    """
    from speechprep.pipelines.comparison.abx import AbxOptions
    from speechprep.pipelines.comparison.codebooks import compare as measure
    from speechprep.pipelines.comparison.page import write
    from speechprep.pipelines.labels import read_labels

    labels = None if phones is None else {row[0]: row for row in read_labels(phones)}
    rows = measure(codebooks, labels, AbxOptions(context, vectors, max_segments, max_speakers, max_phones, seed))
    if out is not None:
        write(rows, out)
    if json:
        print_json([row.as_dict() for row in rows])
    else:
        _print(rows)
        if out is not None:
            console().print(f"open {out}", soft_wrap=True)


def _print(rows: list[Compared]) -> None:
    from speechprep.pipelines.comparison.page import HEAD, cells

    grid = table(*HEAD, right=HEAD[2:])
    for row in rows:
        grid.add_row(*cells(row))
    console().print(grid)
