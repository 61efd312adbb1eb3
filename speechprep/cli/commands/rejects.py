"""`speechprep rejects`: the rejected records of a run or of one folder, as counts, as a table and as CSV."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json_line, table

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep rejects run
  speechprep rejects run --stage align --code audio_too_short
  speechprep rejects run/words --csv > rejects.csv
  speechprep rejects run --json | jq .id

Correct the input, then repeat the command of the run: only the changed shards are computed again."""
ROWS_SHOWN = 20
COLUMNS = ("id", "stage", "code", "message", "audio", "retry")


@app.command(epilog=EXAMPLES)
def rejects(
    folder: opt.Folder,
    *,
    stage: Annotated[str | None, typer.Option("--stage", metavar="NAME", help="Only rejects of this stage.")] = None,
    code: Annotated[
        str | None, typer.Option("--code", metavar="CODE", help="Only rejects with this reason code.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Rows to show.  [default: 20; all with --csv or --json]"),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV on stdout.")] = False,
    json: opt.Json = False,
) -> None:
    """Show the rejected records: counts by stage and reason, then the records.

    The column retry of --csv and --json holds a command to repeat the step.
    """
    from speechprep.pipelines.inspect.rejects import read_rejects

    rows = (row for row in read_rejects(folder) if stage in (None, row["stage"]) and code in (None, row["code"]))
    if json:
        for row in islice(rows, limit):
            print_json_line(row)
    elif as_csv:
        _print_csv(islice(rows, limit))
    else:
        _print_tables(rows, limit or ROWS_SHOWN)


def _print_csv(rows: Iterator[dict[str, Any]]) -> None:
    import csv

    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_tables(rows: Iterator[dict[str, Any]], limit: int) -> None:
    from rich.text import Text

    counts: Counter[tuple[str, str]] = Counter()
    first: list[dict[str, Any]] = []
    for row in rows:
        counts[row["stage"], row["code"]] += 1
        if len(first) < limit:
            first.append(row)
    screen = console()
    if not counts:
        screen.print("no rejects")
        return
    by_reason = table("stage", "reason", "rejects", right=("rejects",))
    for (name, reason), n in counts.items():
        by_reason.add_row(name, reason, f"{n:,}")
    screen.print(by_reason)
    records = table("id", "stage", "reason", "message")
    for row in first:
        records.add_row(*(Text(row[name] or "") for name in ("id", "stage", "code", "message")))
    screen.print(records)
    total = sum(counts.values())
    if total > len(first):
        screen.print(f"{total - len(first):,} more; show them by --limit {total}, or all by --csv")
