"""`speechprep verify`: check of folders against their manifests."""

from __future__ import annotations

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, plural, print_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep verify out
  speechprep verify out/tokens
  speechprep verify out --json

Exit code 0 without problems, 1 with problems."""


@app.command(epilog=EXAMPLES)
def verify(folder: opt.Folder, *, quiet: opt.Quiet = False, json: opt.Json = False) -> None:
    """Recompute checksums, schemas and cross-references of a folder, and decode every token row back."""
    from speechprep.pipelines.inspect.verify import as_dict
    from speechprep.pipelines.inspect.verify import verify as check

    result = check(folder)
    if json:
        print_json(as_dict(result))
    elif result.problems:
        for problem in result.problems:
            typer.echo(f"{problem.folder}: {problem.what}")
        typer.echo(f"{plural(len(result.problems), 'problem')} in {plural(len(result.folders), 'folder')}", err=True)
    elif not quiet:
        checked = f"{plural(len(result.folders), 'folder')}, {plural(result.files, 'file')}, {result.rows:,} rows"
        console().print(f"[green]no problems:[/] {checked}, {result.bytes / 1e6:.1f} MB")
    if result.problems:
        raise typer.Exit(1)
