"""`speechprep eval abx`: ABX error rates of the units of a run, by phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, table

if TYPE_CHECKING:
    from speechprep.pipelines.comparison.abx import AbxResult

app = typer.Typer(rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep eval abx run --phones phones.csv
  speechprep eval abx run --phones phones.csv --context phone --vectors centroids --json"""

Phones = Annotated[
    str,
    typer.Option(
        "--phones", metavar="TABLE", help="Table of phones (CSV, TSV, Parquet) with id, start, end (seconds) and label."
    ),
]
Context = Annotated[
    Literal["triphone", "phone"],
    typer.Option(
        "--context",
        help="triphone: segments of a phone with its two neighbours, compared in equal neighbours. phone: segments of "
        "the phone alone, in any context.",
    ),
]
Vectors = Annotated[
    Literal["one-hot", "centroids"],
    typer.Option("--vectors", help="Vector of a frame: the one-hot vector of its unit, or the centroid of its unit."),
]
SegmentLimit = Annotated[
    int,
    typer.Option(
        "--max-segments", metavar="N", min=2, help="Largest number of segments of each phone, context and speaker."
    ),
]
SpeakerLimit = Annotated[
    int,
    typer.Option(
        "--max-speakers",
        metavar="N",
        min=0,
        help="Largest number of speakers of X for each speaker of A and B, in each context.",
    ),
]
PhoneLimit = Annotated[
    int,
    typer.Option(
        "--max-phones",
        metavar="N",
        min=1,
        help="Largest number of phones for ABX. Utterances are drawn up to this number; it bounds the memory.",
    ),
]


@app.command("abx", epilog=EXAMPLES)
def abx(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder with utterances and units.")],
    *,
    phones: Phones,
    context: Context = "triphone",
    vectors: Vectors = "one-hot",
    max_segments: SegmentLimit = 10,
    max_speakers: SpeakerLimit = 5,
    max_phones: PhoneLimit = 200_000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the subsampling.")] = 0,
    json: opt.Json = False,
) -> None:
    """ABX error rates of the units of a run, within and across speakers, by phone. Chance is 50 %.

    A and X are segments of one phone, B is a segment of another phone. An error is an X with a smaller distance to B
    than to A. Utterances without a speaker are left out.
    """
    from speechprep.artifacts.run import open_run
    from speechprep.pipelines.comparison.abx import AbxOptions
    from speechprep.pipelines.comparison.abx import abx as measure
    from speechprep.pipelines.labels import read_labels

    labels = {row[0]: row for row in read_labels(phones)}
    result = measure(open_run(run), labels, AbxOptions(context, vectors, max_segments, max_speakers, max_phones, seed))
    result.require_triples()
    if json:
        print_json(result.as_dict())
    else:
        _print(result)


def _print(result: AbxResult) -> None:
    screen = console()
    right = ("error", "triples", "of", "phone pairs")
    grid = table("ABX", *right, right=right)
    rates = (("within speakers", result.within), ("across speakers", result.across))
    for (name, rate), possible in zip(rates, result.possible, strict=True):
        grid.add_row(name, _percent(rate.error), f"{rate.triples:,}", f"{possible:,}", f"{len(rate.cells):,}")
    screen.print(grid)
    options = result.options
    screen.print(
        f"context: {options.context}; vectors: {options.vectors}; {result.used:,} of {result.segments:,} segments of "
        f"{result.utterances[0]:,} of {result.utterances[1]:,} utterances; seed {options.seed}",
        style="dim",
    )
    if result.left_out:
        screen.print(f"phones left out: {', '.join(f'{n:,} {reason}' for reason, n in result.left_out.items())}")
    within, across = result.within.by_phone(), result.across.by_phone()
    grid = table("phone", "within", "across", right=("within", "across"))
    for phone in sorted(within.keys() | across.keys()):
        grid.add_row(phone, _percent(within.get(phone)), _percent(across.get(phone)))
    screen.print(grid)


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100 * error:.2f} %"
