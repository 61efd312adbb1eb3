"""`speechprep push`: upload of a run to the Hugging Face Hub."""

from __future__ import annotations

from typing import Annotated

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, plural, print_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep push run me/speech-units --dry-run      write the dataset card, and list the files
  speechprep push run me/speech-units --public       create a public repository, and upload

The login is that of huggingface_hub: run "hf auth login" first, or set HF_TOKEN."""


@app.command(epilog=EXAMPLES)
def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Local run folder.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Dataset repository, OWNER/NAME.")],
    *,
    private: Annotated[bool, typer.Option("--private/--public", help="Visibility of a new repository.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Upload nothing.")] = False,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Upload the datasets and artifacts of a run to a dataset repository, with a dataset card.

    Rejects, logs and the report are not uploaded. Audio is uploaded only if it is stored in the run (ingest option
    embed_audio).
    """
    from speechprep.pipelines import publish

    upload = publish.prepare(run, repo)
    if not dry_run:
        upload = publish.push(run, upload, private=private)
    if json:
        print_json(upload.to_dict())
    elif not quiet:
        screen = console()
        done = "to upload" if dry_run else "uploaded"
        screen.print(f"{done}: {plural(len(upload.files), 'file')}, {upload.size / 1e6:,.1f} MB to {upload.repo}")
        if upload.without_audio:
            screen.print(f"without audio: {plural(upload.without_audio, 'utterance')}; ingest with embed_audio=true")
        if upload.url:
            screen.print(upload.url, soft_wrap=True)
