"""`speechprep models`: check a Whisper model of any form, or convert it to another form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json

# A name of its own: a group is looked up by it even while it has few commands.
app = typer.Typer(name="models", rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep models check models/faster-whisper-base
  speechprep models convert models/faster-whisper-base models/whisper-base --to transformers
  speechprep models convert models/base.pt models/base-ct2 --to ct2"""
CONVERT_EXAMPLES = """\b
Examples:
  speechprep models convert models/whisper-base models/base-ct2 --to ct2
  speechprep models convert models/base.pt models/whisper-base --to transformers
  speechprep models convert models/faster-whisper-base models/base.pt --to openai"""
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Whisper model: CTranslate2 folder (faster-whisper), transformers folder, folder of the Hugging Face "
        "cache, or .pt file of openai-whisper.",
    ),
]


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def models(ctx: typer.Context) -> None:
    """Check a Whisper model, or convert it to another form with equal weights."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command(
    "check",
    epilog="\b\nExamples:\n  speechprep models check models/faster-whisper-base\n"
    "  speechprep models check models/base.pt --json",
)
def check(model: Model, *, json: opt.Json = False) -> None:
    """Read all weights of a Whisper model, and print its size, languages, form and identity.

    The identity is the sha256 of the encoder tensors. It is equal in every form of the same weights, and codebooks
    store it.
    """
    from speechprep.pipelines.backends.whisper.facts import facts
    from speechprep.pipelines.backends.whisper.forms import open_weights

    found = facts(open_weights(model))
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from speechprep.pipelines.backends.whisper.forms import FORMS

    codes = found["languages"]
    dequantised = ", dequantised when read: not the weights of the float model" if found["dequantised"] else ""
    lines = {
        "kind": f"{found['kind']}, size {found['size']}, {found['parameters'] / 1e6:.1f} M parameters",
        "form": f"{found['form']}: {FORMS[found['form']]}",
        "dtype": f"{found['dtype']}{dequantised}",
        "layers": f"{found['encoder_layers']} of the encoder, {found['decoder_layers']} of the decoder",
        "width": f"{found['width']}, {found['heads']} heads, {found['mels']} mel bands",
        "vocabulary": f"{found['vocabulary']:,}",
        "languages": f"{len(codes)}: {', '.join(codes[:10])}{', ...' if len(codes) > 10 else ''}",
        "identity": f"{found['encoder_sha256']} (encoder)",
        "decoder": found["decoder_sha256"],
    }
    screen = console()
    screen.print(found["path"], markup=False, soft_wrap=True)
    for name, value in lines.items():
        screen.print(f"  {name:10} {value}", markup=False, soft_wrap=True)


@app.command("convert", epilog=CONVERT_EXAMPLES)
def convert(
    model: Model,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder to write; for the form openai, a file with the ending .pt.")
    ],
    *,
    to: Annotated[
        Literal["ct2", "transformers", "openai"],
        typer.Option(
            "--to",
            help="Form to write: ct2 for faster-whisper, transformers, or openai for openai-whisper.",
        ),
    ],
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Convert a Whisper model to another form with equal weights.

    An existing OUT is never overwritten. Weights are written in float16 if float16 represents them exactly, otherwise
    in float32. Weights in int8 or int16 are dequantised to float32.
    """
    from speechprep.pipelines.backends.whisper.convert import convert as run
    from speechprep.pipelines.backends.whisper.facts import facts
    from speechprep.pipelines.backends.whisper.forms import open_weights

    source = open_weights(model)
    if source.dequantised and not quiet:
        typer.echo(f"the weights of {model} are {'+'.join(source.stored())}; they are dequantised to float32", err=True)
    found = facts(run(model, out, to))
    if json:
        print_json(found)
    elif not quiet:
        _print(found)
