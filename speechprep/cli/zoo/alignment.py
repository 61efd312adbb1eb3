"""`speechprep eval alignment`: accuracy of word times against a reference, on clean audio and with added noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.output import console, plural, print_json, table

if TYPE_CHECKING:
    from speechprep.models.evaluation.alignment.boundaries import AlignedWords
    from speechprep.models.evaluation.alignment.run_words import RunWords

app = typer.Typer(rich_markup_mode=None, add_completion=False)
EXAMPLES = """\b
Examples:
  speechprep eval alignment run --reference textgrids               word times against a folder of TextGrid files
  speechprep eval alignment run --reference run                     against the word times of the corpus
  speechprep eval alignment run --reference run --snr 20,10,5,0     and with noise in the audio
  speechprep eval alignment run/words --reference out/words         two aligners against each other

With --reference run, the words must come from the aligner: align --set given_words=ignore."""


@app.command("alignment", epilog=EXAMPLES)
def alignment(
    source: opt.RunOrWords,
    *,
    reference: Annotated[
        str,
        typer.Option(
            "--reference",
            metavar="PATH",
            help="True word times: a folder of .TextGrid or .ctm files, a words dataset, or a run with word times of "
            "its corpus.",
        ),
    ],
    snr: Annotated[
        str | None,
        typer.Option(
            "--snr",
            metavar="DB,DB,...",
            help="Align again with Gaussian noise at each of these signal-to-noise ratios in dB.",
        ),
    ] = None,
    samples: opt.BootstrapSamples = 1000,
    level: opt.BootstrapLevel = 0.95,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the bootstrap and of the noise.")] = 0,
    json: opt.Json = False,
) -> None:
    """Measure the word times of a run: onset, offset and mean word-boundary error in ms, and words not found."""
    from speechprep.models.evaluation.alignment.boundaries import level_errors
    from speechprep.models.evaluation.alignment.references import read_references
    from speechprep.models.evaluation.alignment.run_words import RunWords
    from speechprep.models.evaluation.alignment.summary import summary
    from speechprep.models.evaluation.bootstrap import Bootstrap

    ratios = opt.signal_to_noise_ratios(snr) if snr is not None else []
    run = RunWords(source)
    references = run.references(read_references(reference))
    bootstrap = Bootstrap(samples, level, seed, run.speakers(references)) if samples else None
    levels = [summary(level_errors(references, run.aligned(references)), bootstrap)]
    for ratio, aligned in _noisy(run, ratios, seed, set(references)):
        levels.append(summary(level_errors(references, aligned, ratio), bootstrap))
    body = {"words": run.words.uri, "reference": reference, "unused_references": run.unused, "levels": levels}
    if json:
        print_json(body)
    else:
        _print(body)


def _noisy(
    run: RunWords, ratios: list[float], seed: int, ids: set[str]
) -> Iterator[tuple[float, dict[str, AlignedWords]]]:
    """(signal-to-noise ratio, utterance id -> words) of the utterances aligned again with noise."""
    from speechprep.errors import ConfigError
    from speechprep.models.evaluation.alignment.boundaries import AlignedWords
    from speechprep.models.evaluation.alignment.textgrid import Timed
    from speechprep.pipelines.noisy_alignment import realigned
    from speechprep.pipelines.stages.align import aligner_of

    if not ratios:
        return
    if run.utterances is None:
        raise ConfigError(f"--snr needs the audio, and {run.words.uri} has no utterances beside it; name the run")
    aligner, texts = aligner_of(run.words), run.texts(ids)
    for ratio in ratios:
        yield (
            ratio,
            {
                id: AlignedWords(
                    [Timed(word.text, word.start, word.end) for word in words],
                    sum(word.timing == "interpolated" for word in words),
                    intervals=[word.interval for word in words],
                )
                for id, words in realigned(run.utterances, texts, aligner, ratio, seed)
            },
        )


def _print(body: dict[str, Any]) -> None:
    screen = console()
    levels = body["levels"]
    screen.print(_headline(levels))
    screen.print(_sides(levels))
    if any("intervals" in level for level in levels):
        screen.print(_intervals(levels))
    if "by_speaker" in levels[0]:
        screen.print(_speakers(levels))
    if body["unused_references"]:
        screen.print(f"{plural(body['unused_references'], 'reference')} without an utterance in the run")


def _name(level: dict[str, Any]) -> str:
    return "stored" if level["snr"] is None else f"{level['snr']:g} dB"


def _headline(levels: list[dict[str, Any]]) -> Any:
    """Counts, mean word-boundary error with its interval, and quantiles, for each level of noise."""
    columns = ("words", "not found", "interpolated", "not kept", "mean ms", "interval", "50 %", "90 %", "95 %", "99 %")
    grid = table("audio", *columns, right=columns, title="word-boundary error, ms")
    for level in levels:
        counts = level["counts"]
        figures = [f"{counts[name]:,}" for name in ("words", "not_found", "interpolated")]
        figures.append("" if level["snr"] is not None else f"{counts['not_kept']:,}")
        if level["mean"] is not None:
            span = level["interval"]
            figures += [f"{level['mean']:.1f}", f"{span['low']:.1f} to {span['high']:.1f}" if span else ""]
            figures += [f"{level['quantiles'][q]:.0f}" for q in ("0.5", "0.9", "0.95", "0.99")]
        grid.add_row(_name(level), *figures)
    span = levels[0]["interval"]
    if span:
        grid.caption = f"{span['level']:.0%} interval over {span['groups']:,} {span['over']}"
    return grid


def _sides(levels: list[dict[str, Any]]) -> Any:
    """Errors of onsets and offsets."""
    from speechprep.models.evaluation.alignment.summary import WITHIN

    columns = ("mean ms", "median signed", "50 %", "90 %", "99 %", *(f"<= {limit} ms" for limit in WITHIN))
    grid = table("audio", "border", *columns, right=columns)
    for level in levels:
        for side in ("onset", "offset"):
            if side in level:
                one = level[side]
                figures = [f"{one['mean']:.1f}", f"{one['bias']:+.1f}"]
                figures += [f"{one['quantiles'][q]:.0f}" for q in ("0.5", "0.9", "0.99")]
                figures += [f"{100 * one['within'][str(limit)]:.1f} %" for limit in WITHIN]
                grid.add_row(_name(level), side, *figures)
    return grid


def _intervals(levels: list[dict[str, Any]]) -> Any:
    """Share of the true borders in the intervals of the aligner."""
    columns = ("borders", "inside", "mean width, ms")
    grid = table("audio", *columns, right=columns, title="true borders in the 90 % intervals of the aligner")
    for level in levels:
        if "intervals" in level:
            one = level["intervals"]
            figures = (f"{one['borders']:,}", f"{100 * one['coverage']:.1f} %", f"{one['mean_width']:.0f}")
            grid.add_row(_name(level), *figures)
    return grid


def _speakers(levels: list[dict[str, Any]]) -> Any:
    """Mean word-boundary error of each speaker, for each level of noise."""
    names = [_name(level) for level in levels if "by_speaker" in level]
    columns = ("words", "not found", *names)
    grid = table("speaker", *columns, right=columns, title="mean word-boundary error by speaker, ms")
    for speaker, stored in levels[0]["by_speaker"].items():
        means = [level["by_speaker"][speaker]["mean"] for level in levels if "by_speaker" in level]
        figures = ["" if mean is None else f"{mean:.1f}" for mean in means]
        grid.add_row(speaker, f"{stored['words']:,}", f"{stored['not_found']:,}", *figures)
    return grid
