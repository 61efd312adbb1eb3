"""`speechprep doctor`: numerical checks of a model on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

app = typer.Typer(name="doctor", rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep doctor units --codebook out/codebook
  speechprep doctor units --codebook hubert-l9-km500 --model models/hubert-base --batch 16"""


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def doctor(ctx: typer.Context) -> None:
    """Numerical checks of a model on this machine."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("units", epilog=EXAMPLES)
def units(
    *,
    codebook: Annotated[str, typer.Option("--codebook", metavar="FOLDER", help="Folder of the codebook.")],
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="Path of the model.  [default: the path in the codebook]"),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            "--batch", metavar="N", min=2, help="Batch size. Repeat --batch for several.  [default: 8 and 32]"
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="bf16 or fp16, besides fp32. Repeat --dtype for both.  [default: all with processor instructions]",
        ),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Miss rate: the percentage of units that change with batch size and precision, on the demo corpus.

    The units of each utterance in shuffled, padded batches are compared with its units in a batch of one. For an
    extractor with a fixed window (Whisper), the shift test of the codebook follows.
    """
    from speechprep.artifacts.codebook import Codebook
    from speechprep.pipelines.backends.extractors.miss_rate import miss_rates
    from speechprep.pipelines.shift import position_lines

    book = Codebook.load(codebook)
    options = {**book.backend.get("options", {}), **({"model": model} if model else {})}
    rates = miss_rates(book, options, _speech(book.grid.sample_rate), batch or [8, 32], dtype)
    if json:
        print_json([asdict(row) for row in rates])
        return
    right = ("batch", "frames", "miss rate %", "against fp32 %")
    screen = table("dtype", *right, right=right)
    for row in rates:
        shares = (f"{100 * missed / row.frames:.3f}" for missed in (row.missed, row.missed_fp32))
        screen.add_row(row.dtype, str(row.batch), str(row.frames), *shares)
    console().print(screen)
    for name, text in position_lines(book.quality):
        console().print(f"{name}: {text}")


def _speech(sample_rate: int) -> list[NDArray[np.float32]]:
    """The spoken utterances of the demo corpus."""
    import json

    from speechprep.artifacts.media import audio
    from speechprep.demo import corpus_path

    rows = map(json.loads, (corpus_path() / "manifest.jsonl").read_text().splitlines())
    paths = [corpus_path() / row["audio"] for row in rows if row.get("text")]
    return [audio.decode(str(path), sample_rate=sample_rate) for path in paths]
