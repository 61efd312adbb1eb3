"""`speechprep export`: words, segments and units of a run in the format of another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, hours, plural, print_json, table
from speechprep.cli.show import Show

if TYPE_CHECKING:
    from speechprep.pipelines.export.export import Exported

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep export out --to textgrid --out textgrids                   words, segments and units for Praat
  speechprep export out --to ctm --out ctm --set min_trust=0.5          only rows kept by this threshold
  speechprep export out --to srt --rows words --out subtitles           a cue for each word
  speechprep export out --to kaldi --audio copy --out data              a data directory with its WAV files

Formats: textgrid, ctm, srt, vtt, audacity, lhotse, nemo, kaldi, fairseq, webdataset, hf.
The file _export.json in the folder has the counts and the changed names."""


@app.command(epilog=EXAMPLES)
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or folder of utterances.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Format to write; see below.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="Empty or new local folder.")],
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--rows",
            metavar="KIND",
            help="Rows to write: segments, words or units. Repeat it for several.  [default: depends on the format]",
            show_default=False,
        ),
    ] = None,
    kept: Annotated[
        bool, typer.Option("--kept/--all", help="Write only the kept rows of words, or all utterances.")
    ] = True,
    settings: opt.Settings = None,
    audio: Annotated[
        str,
        typer.Option("--audio", metavar="MODE", help="path: name the recordings at their place. copy: copy them."),
    ] = "path",
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Write words, segments and units of a run in the format of another tool.

    --set takes the thresholds of `speechprep filter`; without it the stored verdicts count.
    """
    from speechprep import api
    from speechprep.cli.commands.stages import stage_settings
    from speechprep.cli.errors import stoppable
    from speechprep.cli.progress import display

    show = Show(quiet, json)
    options, _ = stage_settings("filter", None, settings or [])
    opened = api.open(run)
    with stoppable(), display(quiet=quiet, json=json) as progress:
        progress.working("export", opened["utterances"].manifest.seconds)
        result = api.export(
            opened,
            to=to,
            out=out,
            rows=rows or (),
            kept=kept,
            filters=options or None,
            audio=audio,
            progress=lambda n, seconds, bad: progress.progressed(0, n, seconds, bad),
        )
    if json:
        print_json(result.to_dict())
    elif not show.quiet:
        _show(result)


def _show(result: Exported) -> None:
    screen = console()
    counted: dict[tuple[str, str], int] = {}
    for tier, reasons in result.left_out.items():
        counted |= {(tier, reason): n for reason, n in reasons.items()}
    written = ", ".join(f"{n:,} {tier}" for tier, n in result.rows.items())
    size = hours(result.seconds) or "0 s"
    whole = f"{plural(result.utterances, 'utterance')} of {plural(result.recordings, 'recording')}, {size}"
    screen.print(f"exported: {written} ({whole})")
    if counted:
        screen.print(_table(counted))
    for reason, n in result.changed.items():
        screen.print(f"changed: {plural(n, 'label')} ({reason})")
    if result.renamed:
        screen.print(f"changed: {plural(result.renamed, 'name')}, listed in _export.json")
    screen.print(result.folder, soft_wrap=True)


def _table(counted: dict[tuple[str, str], int]) -> Any:
    grid = table("rows", "reason", "left out", right=("left out",))
    for (tier, reason), n in counted.items():
        grid.add_row(tier, reason, f"{n:,}")
    return grid
