"""`speechprep backends`: the list of all backends with their missing packages, and a trial of one backend."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, table

if TYPE_CHECKING:
    from speechprep.pipelines.backends import Aligner, Embedder, Extractor, ImageCodec, Quantizer, Recogniser

# The explicit name and callback keep the group; typer would merge a group with one command into its command.
app = typer.Typer(name="backends", rich_markup_mode=None, add_completion=False)
POINTS = 1600  # random points for the trial of a quantizer


@app.callback(invoke_without_command=True)
def backends(ctx: typer.Context) -> None:
    """List the recognisers, aligners, extractors, embedders, image codecs and quantizers, or try one."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command("list", epilog="\b\nExamples:\n  speechprep backends list\n  speechprep backends list --json")
def list_backends(*, json: opt.Json = False) -> None:
    """List all backends, and the extra to install if a package is missing."""
    rows = [_entry(family, name, target) for family, name, target in _all()]
    if json:
        print_json(rows)
        return
    screen = table("family", "name", "here", "to install it", "from")
    family = ""
    for row in rows:
        here = "[green]yes[/]" if row["here"] else "[yellow]no[/]"
        command = f"pip install 'speechprep[{row['extra']}]'".replace("[", r"\[")
        hint = command if not row["here"] and row["extra"] else ""
        first = row["family"] if row["family"] != family else ""
        screen.add_row(first, row["name"], here, hint, f"[dim]{row['target']}[/]")
        family = row["family"]
    console().print(screen)


def _all() -> list[tuple[str, str, str]]:
    from speechprep import registry

    return [(family, name, target) for family in registry.BACKENDS for name, target in registry.names(family).items()]


def _entry(family: str, name: str, target: str) -> dict[str, Any]:
    """One row of the list; `here` is False if a package is missing or the module cannot be imported."""
    from speechprep import registry
    from speechprep.pipelines.backends.base import installed

    try:
        packages = registry.backend_class(family, name).packages
        here = all(map(installed, packages))
    except ImportError:  # the backend of another package
        packages, here = {}, False
    extra = next((extra for extra in packages.values() if extra), "")
    return {"family": family, "name": name, "here": here, "extra": extra, "target": target}


@app.command(
    "check",
    epilog="\b\nExamples:\n  speechprep backends check pocketsphinx\n"
    "  speechprep backends check mfcc --set cmvn=utterance\n"
    "  speechprep backends check whisper --family recognisers --set model=models/base.pt",
)
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a backend; see: speechprep backends list.")],
    *,
    family: Annotated[
        str | None, typer.Option("--family", metavar="FAMILY", help="Family, for a name in several of them.")
    ] = None,
    settings: opt.Settings = None,
    json: opt.Json = False,
) -> None:
    """Load a backend, run it on a few seconds of the demo corpus, and print its identity and its result."""
    from speechprep import registry
    from speechprep.errors import ConfigError
    from speechprep.options import read_value

    families = [one for one in registry.BACKENDS if name in registry.names(one)]
    if not families:
        names = sorted({backend for _, backend, _ in _all()})
        raise ConfigError(f"unknown backend {name!r}; there are: {', '.join(names)}")
    if family is not None and family not in families:
        raise ConfigError(f"--family {family}: the backend {name!r} is one of the {', '.join(families)}")
    families = [family] if family is not None else families
    options = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r}: write it as OPTION=VALUE, for example --set cmvn=utterance")
        options[key] = read_value(value)
    if len(families) > 1 and options:
        raise ConfigError(f"{name!r} is one of the {', '.join(families)}; choose one of them with --family")
    results = [_try(one, name, options) for one in families]
    if json:
        print_json(results)
        return
    for result in results:
        screen = console()
        screen.print(f"[bold]{result['family']}: {name}[/]  loaded in {result['load_seconds']:.2f} s", soft_wrap=True)
        for key, value in result["identity"].items():
            screen.print(f"  {key} = {value}", markup=False, soft_wrap=True)
        screen.print(f"  [green]result[/] {result['gave']} in {result['run_seconds']:.2f} s", soft_wrap=True)


def _try(family: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    from speechprep import registry

    backend = registry.make(family, name, options)
    began = time.monotonic()
    backend.check()
    backend.load()
    loaded = time.monotonic()
    result = _TRIALS[family](backend)
    return {
        "family": family,
        "name": name,
        "identity": backend.identity(),
        "load_seconds": round(loaded - began, 3),
        "run_seconds": round(time.monotonic() - loaded, 3),
        "gave": result,
    }


def _utterance(sample_rate: int) -> tuple[Any, str]:
    """An utterance of the demo corpus: samples (n,) and transcript."""
    import json

    from speechprep.artifacts.media import audio
    from speechprep.demo import corpus_path

    first = json.loads((corpus_path() / "manifest.jsonl").read_text().splitlines()[0])
    return audio.decode(str(corpus_path() / first["audio"]), sample_rate=sample_rate), first["text"]


def _recognise(recogniser: Recogniser) -> str:
    audio, _ = _utterance(recogniser.sample_rate)
    passages = list(recogniser.passages(iter([audio])))
    texts = " | ".join(passage.text.strip() for passage in passages)
    return f"{len(passages)} passages in {len(audio) / recogniser.sample_rate:.2f} s: {texts}"


def _align(aligner: Aligner) -> str:
    audio, text = _utterance(aligner.sample_rate)
    words = aligner.align(audio, text).words
    return f"{len(words)} words: " + " ".join(f"{w.text}@{w.start:.2f}" for w in words[:6]) + " ..."


def _extract(extractor: Extractor) -> str:
    audio, _ = _utterance(extractor.sample_rate)
    frames = extractor.extract([audio])[0]
    expected = extractor.grid.num_frames(len(audio))
    state = "as its grid states" if len(frames) == expected else f"but its grid states {expected}"
    seconds = len(audio) / extractor.sample_rate
    return f"{frames.shape[0]} frames of {frames.shape[1]} values for {seconds:.2f} s, {state}"


def _embed(embedder: Embedder) -> str:
    vectors = embedder.embed_text(["a dog barks", "dogs are barking", "rain on a roof"])
    like, unlike = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    scores = f"'a dog barks' ~ 'dogs are barking' {like:.2f}, ~ 'rain on a roof' {unlike:.2f}"
    return f"vectors of {vectors.shape[1]}; {scores}"


def _quantize(quantizer: Quantizer) -> str:
    import numpy as np

    from speechprep.tokenizers.arrays.keyed_random import fixed_generator
    from speechprep.tokenizers.kmeans.nearest import Centroids

    points = fixed_generator().normal(size=(POINTS, 13)).astype(np.float32)
    units = Centroids(quantizer.fit(points, 8, 0).centroids).assign(points)
    return f"8 units from {len(points)} random points, {len(np.unique(units))} of them in use"


def _encode(codec: ImageCodec) -> str:
    import numpy as np

    ramp = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    codes = codec.encode([codec.prepare(ramp)])[0]
    used = len(np.unique(codes))
    return f"{len(codes)} codes of {codec.vocab} for an image of 96 x 64 pixels, {used} of them in use"


_TRIALS: dict[str, Callable[[Any], str]] = {
    "recognisers": _recognise,
    "aligners": _align,
    "extractors": _extract,
    "embedders": _embed,
    "image_codecs": _encode,
    "quantizers": _quantize,
}
