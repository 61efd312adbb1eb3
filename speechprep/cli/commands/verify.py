"""`speechprep verify`: is everything as the manifests say?"""

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

Exit code 0 where all is well, 1 where something is wrong."""


@app.command(epilog=EXAMPLES)
def verify(folder: opt.Folder, *, quiet: opt.Quiet = False, json: opt.Json = False) -> None:
    """Recompute checksums, schemas and cross-references of a folder, and decode every token row back."""
    from speechprep.pipelines.inspect.verify import as_dict
    from speechprep.pipelines.inspect.verify import verify as check

    verdict = check(folder)
    if json:
        print_json(as_dict(verdict))
    elif verdict.problems:
        for problem in verdict.problems:
            typer.echo(f"{problem.folder}: {problem.what}")
        typer.echo(f"{plural(len(verdict.problems), 'problem')} in {plural(len(verdict.folders), 'folder')}", err=True)
    elif not quiet:
        seen = f"{plural(len(verdict.folders), 'folder')}, {plural(verdict.files, 'file')}, {verdict.rows:,} rows"
        console().print(f"[green]all is well:[/] {seen}, {verdict.bytes / 1e6:.1f} MB")
    if verdict.problems:
        raise typer.Exit(1)
