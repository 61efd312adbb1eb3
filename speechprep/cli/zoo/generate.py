"""`speechprep generate`: outputs of a trained model for a file of prompts."""

from __future__ import annotations

from inspect import signature
from typing import Annotated, Any

import typer

from speechprep.cli.zoo.build import command, examples, parameters
from speechprep.models.prompts import GenerateOptions

app = typer.Typer(rich_markup_mode=None, add_completion=False)

HELP = (
    "Continue prompts of text or units with a trained SUTLM or DMLM.\n\nA prompt is a line of JSON with text or units, "
    "and optionally an id. The outputs are lines of JSON with id, sample, and text or units."
)
EXAMPLES = (
    "speechprep generate --model models/sutlm --prompts prompts.jsonl --to text",
    "speechprep generate --model models/sutlm --prompts prompts.jsonl --to units --temperature 0.8 --samples 3",
    "speechprep generate --model models/asr --prompts prompts.jsonl --beams 5 --out outputs.jsonl",
)


def _first(
    *,
    model: Annotated[str, typer.Option("--model", "-m", metavar="FOLDER", help="Folder of a trained model.")],
    prompts: Annotated[str, typer.Option("--prompts", metavar="FILE", help="File of prompts, JSON Lines.")],
) -> None:
    """Signature of the input options."""


def _last(
    *,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the outputs to this file.  [default: stdout]"),
    ] = None,
) -> None:
    """Signature of the output options."""


def _generate(*, model: str, prompts: str, out: str | None, **values: Any) -> None:
    import json

    from speechprep.cli.zoo.scores import write_lines
    from speechprep.models.prompts import generate_outputs, read_prompts
    from speechprep.models.zoo import require_torch

    read = read_prompts(prompts)
    require_torch("generate")
    records = generate_outputs(model, read, GenerateOptions.of(values))
    if out is not None:
        write_lines(out, list(records))
        return
    for record in records:
        typer.echo(json.dumps(record, ensure_ascii=False))


_PARAMETERS = [
    *signature(_first, eval_str=True).parameters.values(),
    *parameters(GenerateOptions),
    *signature(_last, eval_str=True).parameters.values(),
]
app.command("generate", epilog=examples(EXAMPLES))(command(_generate, _PARAMETERS, HELP))
