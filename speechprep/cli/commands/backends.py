"""`speechprep backends`: which there are, whether they can run here, and a trial of one."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, print_json, table

# A name of its own: a group is looked up by it even while it has few commands.
app = typer.Typer(name="backends", rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def backends(ctx: typer.Context) -> None:
    """Aligners, extractors, embedders, image codecs and quantizers: list them, or try one."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


# Module that a backend needs, and the extra that brings it ("": it comes with the core). Backends of other packages
# come with what they need.
NEEDS = {
    ("aligners", "pocketsphinx"): ("pocketsphinx", ""),
    ("aligners", "whisperx"): ("whisperx", "whisperx"),
    ("aligners", "ctc"): ("torchaudio", "hf"),
    ("extractors", "mfcc"): ("numpy", ""),
    ("extractors", "hubert"): ("torch", "hf"),
    ("extractors", "whisper"): ("torch", "hf"),
    ("embedders", "caption"): ("numpy", ""),
    ("embedders", "clap"): ("torch", "hf"),
    ("image_codecs", "dvae"): ("torch", "hf"),
    ("quantizers", "kmeans"): ("numpy", ""),
}
SECOND = 16_000


@app.command("list", epilog="\b\nExamples:\n  speechprep backends list\n  speechprep backends list --json")
def list_backends(*, json: opt.Json = False) -> None:
    """List all backends, and what to install for those that cannot run here."""
    rows = [_entry(family, name, target) for family, name, target in _all()]
    if json:
        print_json(rows)
        return
    made = table("family", "name", "here", "to install it", "from")
    last = ""
    for row in rows:
        here = "[green]yes[/]" if row["here"] else "[yellow]no[/]"
        hint = (
            f"pip install 'speechprep[{row['extra']}]'".replace("[", r"\[") if not row["here"] and row["extra"] else ""
        )
        made.add_row(
            row["family"] if row["family"] != last else "", row["name"], here, hint, f"[dim]{row['target']}[/]"
        )
        last = row["family"]
    console().print(made)


def _all() -> list[tuple[str, str, str]]:
    from speechprep import registry

    return [(family, name, target) for family in registry.BACKENDS for name, target in registry.names(family).items()]


def _entry(family: str, name: str, target: str) -> dict[str, Any]:
    module, extra = NEEDS.get((family, name), (target.partition(":")[0].partition(".")[0], ""))
    return {"family": family, "name": name, "here": find_spec(module) is not None, "extra": extra, "target": target}


@app.command(
    "check",
    epilog="\b\nExamples:\n  speechprep backends check faiss\n  speechprep backends check mfcc --set cmvn=utterance",
)
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a backend; see: speechprep backends list.")],
    *,
    settings: opt.Settings = None,
    json: opt.Json = False,
) -> None:
    """Load a backend and run it on a few seconds of the demo corpus; print who it says it is and what it gave."""
    from speechprep import registry
    from speechprep.errors import ConfigError
    from speechprep.options import read_value

    families = [family for family in registry.BACKENDS if name in registry.names(family)]
    if not families:
        known = sorted({n for _, n, _ in _all()})
        raise ConfigError(f"unknown backend {name!r}; there are: {', '.join(known)}")
    options = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r}: write it as OPTION=VALUE")
        options[key] = read_value(value)
    results = [_try(family, name, options) for family in families]
    if json:
        print_json(results)
        return
    for result in results:
        screen = console()
        screen.print(f"[bold]{result['family']}: {name}[/]  loaded in {result['load_seconds']:.2f} s", soft_wrap=True)
        for key, value in result["identity"].items():
            screen.print(f"  {key} = {value}", markup=False, soft_wrap=True)
        screen.print(f"  [green]gave[/] {result['gave']} in {result['run_seconds']:.2f} s", soft_wrap=True)


def _try(family: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    from speechprep import registry

    backend = registry.make(family, name, options)
    began = time.monotonic()
    if hasattr(backend, "load"):
        backend.load()
    loaded = time.monotonic()
    gave = _TRIALS[family](backend)
    return {
        "family": family,
        "name": name,
        "identity": backend.identity(),
        "load_seconds": round(loaded - began, 3),
        "run_seconds": round(time.monotonic() - loaded, 3),
        "gave": gave,
    }


def _utterance(sample_rate: int) -> tuple[Any, str]:
    """An utterance of the demo corpus and what is said in it."""
    import json

    from speechprep.artifacts.media import audio
    from speechprep.demo import corpus_path

    first = json.loads((corpus_path() / "manifest.jsonl").read_text().splitlines()[0])
    return audio.decode(str(corpus_path() / first["audio"]), sample_rate=sample_rate), first["text"]


def _align(backend: Any) -> str:
    sound, text = _utterance(backend.sample_rate)
    words = backend.align(sound, text).words
    return f"{len(words)} words: " + " ".join(f"{w.text}@{w.start:.2f}" for w in words[:6]) + " ..."


def _extract(backend: Any) -> str:
    sound, _ = _utterance(backend.sample_rate)
    found = backend.extract([sound])[0]
    wanted = backend.grid.num_frames(len(sound))
    state = "as its grid says" if len(found) == wanted else f"but its grid says {wanted}"
    return f"{found.shape[0]} frames of {found.shape[1]} values for {len(sound) / backend.sample_rate:.2f} s, {state}"


def _embed(backend: Any) -> str:
    found = backend.embed_text(["a dog barks", "dogs are barking", "rain on a roof"])
    like, unlike = float(found[0] @ found[1]), float(found[0] @ found[2])
    return (
        f"vectors of {found.shape[1]}; 'a dog barks' ~ 'dogs are barking' {like:.2f}, ~ 'rain on a roof' {unlike:.2f}"
    )


def _quantize(backend: Any) -> str:
    import numpy as np

    from speechprep.tokenizers.arrays.keyed_random import fixed_generator
    from speechprep.tokenizers.kmeans.nearest import Centroids

    points = fixed_generator().normal(size=(SECOND // 10, 13)).astype(np.float32)
    fit = backend.fit(points, 8, 0)
    units = Centroids(fit.centroids).assign(points)
    return f"8 units from {len(points)} random points, {len(np.unique(units))} of them in use"


def _code(backend: Any) -> str:
    import numpy as np

    ramp = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    codes = backend.encode([backend.prepare(ramp)])[0]
    return (
        f"{len(codes)} codes of {backend.vocab} for a picture of 96 x 64 pixels, {len(np.unique(codes))} of them in use"
    )


_TRIALS = {
    "aligners": _align,
    "extractors": _extract,
    "embedders": _embed,
    "image_codecs": _code,
    "quantizers": _quantize,
}
