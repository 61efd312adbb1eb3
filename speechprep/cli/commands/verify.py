"""`speechprep verify` and `speechprep repair`: check of folders against their manifests, and their repair."""

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


REPAIR_EXAMPLES = """\b
Examples:
  speechprep repair out
  speechprep repair out/tokens --workers 1

Exit code 0 if no problem remains, 1 otherwise."""


@app.command(epilog=REPAIR_EXAMPLES)
def repair(
    folder: opt.Folder, *, workers: opt.Workers = None, quiet: opt.Quiet = False, json: opt.Json = False
) -> None:
    """Remove the damaged files found by `verify`, and run their stages again with the same options."""
    from speechprep.cli.commands.run import engine_options
    from speechprep.cli.errors import stoppable
    from speechprep.cli.progress import display
    from speechprep.pipelines.inspect.repair import repair as mend

    how = engine_options(runner="local", workers=workers, beam_args=None, rebuild=True, max_rejects=1.0, slice_=None)
    with stoppable(), display(quiet=quiet, json=json) as progress:
        result = mend(folder, how, progress)
    problems = [{"folder": p.folder, "what": p.what} for p in result.problems]
    if json:
        print_json({"ok": not problems, "repaired": result.folders, "removed": result.removed, "problems": problems})
    elif problems:
        for problem in problems:
            typer.echo(f"{problem['folder']}: {problem['what']}")
        typer.echo(f"{plural(len(problems), 'problem')} remain", err=True)
    elif not quiet:
        made = f"{plural(len(result.folders), 'folder')} repaired, {plural(len(result.removed), 'file')} removed"
        console().print(f"[green]no problems:[/] {made if result.folders else 'nothing to repair'}")
    if problems:
        raise typer.Exit(1)
