"""One command for each stage. All take the same options; those of the stage itself are set by `--set`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from speechprep.cli import options as opt
from speechprep.cli.driver import Show, run_stage, tell

app = typer.Typer(rich_markup_mode=None, add_completion=False)

# What a stage does in a sentence, and how it is called. Its own options are read from its code when help is asked for.
HELP: dict[str, tuple[str, list[str]]] = {
    "ingest": (
        "Read a corpus and write one row for each utterance.\n\nTakes folders of audio with transcripts beside them, "
        "JSONL, CSV, TSV and NeMo manifests, LibriSpeech, LJSpeech and Common Voice layouts, Hugging Face Parquet, "
        "WebDataset tar files and lhotse cuts. Duplicate ids and unreadable audio are rejected with a reason.",
        [
            "speechprep ingest --input corpus --out out/utterances",
            "speechprep ingest --input 'shards/*.tar' --out out/utterances",
        ],
    ),
    "align": (
        "Give every word of every utterance its time.",
        [
            "speechprep align --input out/utterances --out out/words",
            "speechprep align --input out --out out/words --set min_score=-6 --workers 8",
        ],
    ),
    "cluster": (
        "Fit the codebook of speech units: k-means on a sample of frames.\n\nThe sample is drawn first, where the "
        "input has none.",
        ["speechprep cluster --input out/utterances --out out/codebook --set k=500"],
    ),
    "units": (
        "Turn each utterance into units: the nearest centroid of the codebook, frame by frame.",
        ["speechprep units --input out/utterances --input out/codebook --out out/units"],
    ),
    "subword": (
        "Train SentencePiece on units and on text, and lay both into one vocabulary.",
        ["speechprep subword --input out/units --input out/words --out out/subword"],
    ),
    "interleave": (
        "Write token rows: units alone, text alone, one after the other (CST), alternating by spans of words (AST).",
        ["speechprep interleave --input out --out out/tokens"],
    ),
    "pack": (
        "Pack token rows into rows of a fixed length, shuffled by a seed, ready for a trainer.",
        ["speechprep pack --input out/tokens --input out/subword --out out/packed"],
    ),
    "pool": (
        "Write one vector for each utterance: the mean of the extractor's frames.",
        ["speechprep pool --input out/utterances --out out/pooled"],
    ),
    "index": (
        "Embed utterances and build an index that `speechprep search` asks.",
        [
            "speechprep index --input out/utterances --out out/index",
            "speechprep index --input out --out out/index --set embedder=clap --set options.model=models/clap",
        ],
    ),
    "images": (
        "Turn images into codes of a discrete VAE, and keep their captions.\n\nTakes folders and globs of images with "
        "captions beside them, CSV, TSV and JSONL manifests, and COCO's caption files (Karpathy's too).",
        [
            "speechprep images --input pictures --out out/image_codes --set options.model=models/flava-image-codebook",
            "speechprep images --input captions_val2014.json --out out/image_codes --set image_root=val2014",
        ],
    ),
}


class StageCommand(TyperCommand):
    """A command whose help also lists the options of its stage; the stage is imported for that alone."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The common options, then those for `--set`."""
        super().format_options(ctx, formatter)
        from speechprep.options import option_rows
        from speechprep.pipelines.engine.stage import find_stage

        rows = option_rows(find_stage(self.name or "").config)
        if rows:
            with formatter.section("Options of the stage (--set NAME=VALUE)"):
                formatter.write_dl(rows)


def stage_settings(stage: str, recipe: str | None, settings: list[str]) -> tuple[dict[str, Any], int]:
    """Options of a stage: those of its step in a recipe, if one is named, then `--set NAME=VALUE`; and the seed.

    Raises:
        ConfigError: a setting not of this form, or for another step; a recipe without the stage.
    """
    from speechprep.errors import ConfigError
    from speechprep.options import with_setting
    from speechprep.pipelines.engine.recipe import load
    from speechprep.pipelines.engine.stage import find_stage

    options: dict[str, Any] = {}
    seed = 0
    if recipe is not None:
        found = load(recipe)
        steps = [step for step in found.steps if step.stage == stage]
        if not steps:
            raise ConfigError(f"the recipe {recipe!r} has no step of the stage {stage!r}")
        options, seed = dict(steps[0].options), found.seed
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting!r}: write it as OPTION=VALUE, for example --set k=100")
        options = with_setting(options, name.removeprefix(f"{stage}."), value, find_stage(stage).config)
    return options, seed


def _command(name: str) -> Callable[..., None]:
    def stage(
        beam_args: opt.BeamArgs = None,
        *,
        sources: opt.Sources,
        out: opt.Out,
        recipe: opt.RecipeName = None,
        settings: opt.Settings = None,
        workers: opt.Workers = None,
        seed: opt.Seed = None,
        rebuild: opt.Rebuild = False,
        max_reject_fraction: opt.MaxRejects = 0.05,
        slice_: opt.Slice = None,
        runner: opt.Runner = "local",
        quiet: opt.Quiet = False,
        json: opt.Json = False,
    ) -> None:
        from speechprep.cli.commands.run import check_places, engine_options
        from speechprep.pipelines.engine.recipe import single
        from speechprep.pipelines.engine.stage import find_stage

        found = find_stage(name)
        options, recipe_seed = stage_settings(name, recipe, settings or [])
        if found.plan is not None:
            check_places(sources, out)
        steps = single(found, options, recipe_seed if seed is None else seed, sources, out)
        how = engine_options(
            runner=runner,
            workers=workers,
            beam_args=beam_args,
            rebuild=rebuild,
            max_rejects=max_reject_fraction,
            slice_=slice_,
        )
        show = Show(quiet, json)
        tell(run_stage(steps, out, how, show), show)

    return stage


def _epilog(examples: list[str]) -> str:
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{lines}\n\nAn input is a folder of this tool, or a run folder that holds what is needed."


for _name, (_text, _examples) in HELP.items():
    app.command(_name, cls=StageCommand, help=_text, epilog=_epilog(_examples))(_command(_name))


def third_party(name: str) -> Any:
    """The command of a stage that another package brought by an entry point; None where there is none."""
    from importlib.metadata import entry_points

    if name not in {point.name for point in entry_points(group="speechprep.stages")}:
        return None
    made = typer.Typer(rich_markup_mode=None, add_completion=False)
    made.command(name, cls=StageCommand, help=f"The stage {name!r} of another package.")(_command(name))
    return typer.main.get_command(made)
