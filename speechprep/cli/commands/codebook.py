"""`speechprep codebook`: import published centroids as a codebook, and list the known published codebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, table
from speechprep.cli.show import Show, print_outcome, run_stage

if TYPE_CHECKING:
    from speechprep.artifacts.codebook import Codebook

# The explicit name is required: the table of commands finds a group by its name.
app = typer.Typer(name="codebook", rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep codebook import km.bin --out out/codebook --extractor hubert --set model=models/hubert --set layer=6
  speechprep codebook import kmeans_10k.npy --out out/codebook --preset seamless-10k --set model=models/xlsr2-1b-v2
  speechprep codebook presets
  speechprep units --input out/utterances --input out/codebook --out out/units"""


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def codebook(ctx: typer.Context) -> None:
    """Import published centroids as a codebook, or list the known published codebooks."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("import", epilog=EXAMPLES)
def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A k-means model of scikit-learn dumped by joblib, or .npy centroids.")
    ],
    *,
    out: opt.Out,
    extractor: Annotated[
        str | None,
        typer.Option(
            "--extractor",
            metavar="NAME",
            help="Name of the extractor of the frames.  [default: the extractor of the preset]",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set an option of the extractor. Repeat --set for further options."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Name of the published codebook; none: an unpublished one.  [default: recognised by its sha256]",
            show_default=False,
        ),
    ] = None,
    rebuild: opt.Rebuild = False,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Import published centroids as a codebook for `speechprep units`.

    The file does not identify the extractor. Name the extractor with its model and layer, or the published codebook.
    Using the codebook with a different extractor is then an error. No code in the file is executed.
    """
    from speechprep.artifacts import storage
    from speechprep.artifacts.codebook import Codebook
    from speechprep.cli.commands.run import engine_options
    from speechprep.pipelines.engine.recipe import single
    from speechprep.pipelines.engine.stage import find_stage

    options = {"file": storage.absolute(file), "extractor": extractor, "preset": preset, "options": _options(settings)}
    steps = single(find_stage("import_codebook"), options, 0, [], out)
    how = engine_options(runner="local", workers=1, beam_args=None, rebuild=rebuild, max_rejects=0.0, slice_=None)
    show = Show(quiet, json)
    outcome = run_stage(steps, out, how, show)
    print_outcome(outcome, show)
    if not quiet and not json and storage.is_local(out):
        _print_metadata(Codebook.load(storage.local_path(out)))


def _options(settings: list[str] | None) -> dict[str, Any]:
    from speechprep.errors import ConfigError
    from speechprep.options import with_setting

    options: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting!r}: write it as OPTION=VALUE, for example --set layer=9")
        options = with_setting(options, name, value)
    return options


def _print_metadata(book: Codebook) -> None:
    """Print the codebook metadata in a few lines."""
    extractor, origin = book.extractor, book.origin
    layer = f", layer {extractor['layer']}" if "layer" in extractor else ""
    screen = console()
    screen.print(f"{book.k:,} units of {book.dim} values: frames of {extractor.get('model', extractor['name'])}{layer}")
    source = " ".join(str(origin[key]) for key in ("model", "sklearn", "preset") if key in origin)
    rounded = "" if origin["dtype"] == "float32" else f", rounded from {origin['dtype']}"
    screen.print(f"from {origin['file']} ({origin['format']}{rounded}) {source}", markup=False)


@app.command("presets", epilog="\b\nExamples:\n  speechprep codebook presets\n  speechprep codebook presets --json")
def presets(*, json: opt.Json = False) -> None:
    """List the known published codebooks with their extractor, layer and normalisation."""
    from dataclasses import asdict

    from speechprep.pipelines.stages.import_codebook.published import PRESETS

    if json:
        print_json([asdict(preset) for preset in PRESETS.values()])
        return
    right = ("layer", "units", "values")
    grid = table("preset", "model", *right, "normalised", "recognised by", right=right)
    normalised = {True: "yes", False: "no", None: "as stated in the model folder"}
    for preset in PRESETS.values():
        by = f"sha256 {preset.sha256[:8]}" if preset.sha256 else "name only"
        sizes = (str(preset.layer), str(preset.k), str(preset.dim))
        grid.add_row(preset.name, preset.model, *sizes, normalised[preset.normalize], by)
    console().print(grid)
