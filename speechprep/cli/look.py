"""`speechprep decode` and `speechprep search`: what the rows say, and what the corpus sounds like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, print_json_line, table

if TYPE_CHECKING:
    from speechprep.pipelines.decode import Decoded

app = typer.Typer(rich_markup_mode=None, add_completion=False)

DECODE_EXAMPLES = """\b
Examples:
  speechprep decode out/tokens --limit 3
  speechprep decode out/packed --id 84-121123-0001
  speechprep decode out/tokens --json | jq .text"""
SEARCH_EXAMPLES = """\b
Examples:
  speechprep search out/index "a dog barks"
  speechprep search out/index "rain on a roof" -k 3 --json"""


@app.command(epilog=SEARCH_EXAMPLES)
def search(
    index: Annotated[str, typer.Argument(metavar="INDEX", help="Index folder, or a run folder with one.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for, in words.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="How many to show.")] = 5,
    json: opt.Json = False,
) -> None:
    """Find what sounds like a description."""
    from speechprep.artifacts import manifest, storage
    from speechprep.pipelines import index as indices

    inner = storage.join(index, indices.STAGE.writes)
    if manifest.find(index) is None and manifest.find(inner) is not None:
        index = inner
    hits = indices.search(index, query, k)
    if json:
        print_json([{"id": h.id, "score": round(h.score, 6), "caption": h.caption, "audio": h.audio} for h in hits])
        return
    screen = console()
    if not hits:
        screen.print(f"nothing here is like {query!r}", markup=False)
        return
    made = table("score", "id", "caption", "audio", right=("score",))
    for h in hits:
        made.add_row(f"{h.score:.3f}", *(_plain(x) for x in (h.id, h.caption, h.audio)))
    screen.print(made)


def _plain(value: str | None) -> Any:
    from rich.text import Text

    return Text(value or "")
