"""`speechprep grid`: every combination of some options, trained and evaluated, in one table."""

from __future__ import annotations

from typing import Annotated

import typer

from speechprep.cli import options as opt

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep grid dmlm.yaml --out models/grid
  speechprep grid dmlm.yaml --out models/grid --dry-run     lists the trainings


The same command resumes an interrupted grid. docs/models.md describes the grid file."""


@app.command(epilog=EXAMPLES)
def grid(
    file: Annotated[str, typer.Argument(metavar="FILE", help="YAML file of the grid.")],
    *,
    out: opt.Out,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trainings without running them.")] = False,
    json: opt.Json = False,
) -> None:
    """Train and evaluate every combination of option values, for several seeds, and write a table of the scores.

    Writes a folder for each training, results.jsonl and results.md.
    """
    from dataclasses import asdict
    from pathlib import Path

    from speechprep.cli.output import print_json
    from speechprep.cli.zoo.scores import write_lines
    from speechprep.cli.zoo.train import read_options
    from speechprep.models.grid import Grid, cells, run, table
    from speechprep.models.zoo import require_torch

    wanted = Grid.of(read_options(file, [], Grid))
    every = cells(wanted)
    if dry_run:
        if json:
            print_json([{"name": cell.name, **asdict(cell)} for cell in every])
        else:
            typer.echo("\n".join(cell.name for cell in every))
        return
    require_torch("grid")
    results = run(wanted, out, lambda line: None if json else typer.echo(line))
    lines = [{"name": cell.name, **asdict(cell), "figures": figures} for cell, figures in results]
    write_lines(f"{out}/results.jsonl", lines)
    shown = table(wanted, results)
    Path(out, "results.md").write_text(shown, encoding="utf-8")
    if json:
        print_json(lines)
    else:
        typer.echo(f"\n{shown}")
