"""`speechprep decode`: token rows as words, units and times. `speechprep search`: retrieval of sounds from an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, print_json_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speechprep.pipelines.inspect.decode import Decoded, DecodedSpan

app = typer.Typer(rich_markup_mode=None, add_completion=False)

DECODE_EXAMPLES = """\b
Examples:
  speechprep decode out/tokens --limit 3
  speechprep decode out/packed --id 01-rms
  speechprep decode out/tokens --json | jq .text"""
SEARCH_EXAMPLES = """\b
Examples:
  speechprep search out/index "a dog barks"
  speechprep search out/index "rain on a roof" -k 3 --json
  speechprep search out/index --audio bark.wav"""


ROWS_SHOWN = 10
UNITS_SHOWN = 12


@app.command(epilog=DECODE_EXAMPLES)
def decode(
    rows: Annotated[str, typer.Argument(metavar="INPUT", help="Folder of tokens or packed, or a run folder.")],
    *,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Only this utterance, or ID#KIND. Repeat --id for several."),
    ] = None,
    vocab: Annotated[
        str | None,
        typer.Option(
            "--vocab", metavar="FOLDER", help="Folder of the vocabulary.  [default: the folder subword beside INPUT]"
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Rows to show.  [default: 10; all with --id or --json]"),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Turn rows of tokens or packed back into words, units and times.

    Each span of text or units is a line; with --json each row is a line.
    """
    from itertools import islice

    folder, words = _locate(rows)
    if limit is None and not (ids or json):
        limit = ROWS_SHOWN
    shown = 0
    for row in islice(_decoded(folder, vocab, ids, words), limit):
        shown += 1
        if json:
            print_json_line(row.to_dict())
        else:
            _print_row(row)
    if not shown and ids:
        from speechprep.errors import ConfigError

        raise ConfigError(f"{folder} has no row with the id {' or '.join(repr(id) for id in ids)}; correct --id")


def _decoded(folder: str, vocab: str | None, ids: list[str] | None, words: str | None) -> Iterator[Decoded]:
    from speechprep.pipelines.inspect.decode import decode_dataset

    return decode_dataset(folder, vocab, ids=ids, words=words)


def _locate(folder: str) -> tuple[str, str | None]:
    """Folder of the rows (`tokens` in a run folder), and the folder of their `words` if it is beside it."""
    from speechprep.artifacts import manifest, storage

    inner = storage.join(folder, "tokens")
    if manifest.find(folder) is None and manifest.find(inner) is not None:
        folder = inner
    rows = manifest.find(folder)
    beside = storage.join(storage.parent(folder), "words")
    words = manifest.find(beside)
    same = rows and words and rows.made_of.get("inputs", {}).get("words") == words.fingerprint
    return folder, beside if same else None


def _print_row(row: Decoded) -> None:
    from rich.text import Text

    screen = console()
    screen.print(Text.assemble((row.id, "bold"), "  ", (row.kind, "magenta")))
    for span in row.spans:
        screen.print(_line(span), soft_wrap=True)
    screen.print()


def _line(span: DecodedSpan) -> Any:
    from rich.text import Text

    colour = "cyan" if span.modality == "unit" else "yellow"
    line = Text("  ")
    line.append(f"{span.modality:<5}", style=f"bold {colour}")
    if span.t0 is not None and span.t1 is not None:
        line.append(f"{span.t0:8.2f} - {span.t1:<7.2f}", style="dim")
    if span.text:
        line.append(f" {span.text}", style=colour)
    if span.modality == "unit":
        lengths = span.durations or [1] * len(span.units)
        parts = [f"{u}*{n}" if n > 1 else str(u) for u, n in zip(span.units, lengths, strict=True)]
        more = f" ... {len(parts)} units" if len(parts) > UNITS_SHOWN else ""
        line.append(f" <{' '.join(parts[:UNITS_SHOWN])}{more}>", style="dim")
    return line


@app.command(epilog=SEARCH_EXAMPLES)
def search(
    index: Annotated[str, typer.Argument(metavar="INDEX", help="Index folder, or a run folder with one.")],
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="Description of the sound, for example 'a dog barks'.")
    ] = None,
    *,
    audio: Annotated[
        str | None,
        typer.Option(
            "--audio",
            metavar="FILE",
            help="Find sounds similar to this file. The index needs an audio embedder, for example clap.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Number of results.")] = 5,
    json: opt.Json = False,
) -> None:
    """Find the sounds of an index nearest to a description, or to a sound."""
    from speechprep.artifacts import manifest, storage
    from speechprep.pipelines.stages.index import stage as indices

    inner = storage.join(index, indices.STAGE.writes)
    if manifest.find(index) is None and manifest.find(inner) is not None:
        index = inner
    hits = indices.search(index, query, k, audio)
    if json:
        print_json([{**h._asdict(), "score": round(h.score, 6)} for h in hits])
        return
    screen = console()
    if not hits:
        screen.print(f"no result for {query or audio!r}", markup=False)
        return
    grid = table("score", "id", "seconds", "caption", "audio", right=("score", "seconds"))
    for h in hits:
        part = "" if h.t0 is None or h.t1 is None else f"{h.t0:.1f}-{h.t1:.1f}"
        grid.add_row(f"{h.score:.3f}", _plain(h.id), part, _plain(h.caption), _plain(h.audio))
    screen.print(grid)


def _plain(value: str | None) -> Any:
    from rich.text import Text

    return Text(value or "")
