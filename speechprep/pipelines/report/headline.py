"""Top and foot of the page: headline numbers, licences, fingerprints, versions."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.compression import FRAMES, SUBWORDS, rates
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import TIMES, by_timing, card, counted, percent
from speechprep.pipelines.report.plots.style import clock, number


def cards(facts: Facts, run: Run) -> str:
    """The headline numbers."""
    rows = [*_yield_cards(facts, run), *_speech_cards(facts, run), *_training_cards(facts)]
    return f'<ul class="cards">{"".join(rows)}</ul>'


def _yield_cards(facts: Facts, run: Run) -> Iterator[str]:
    yields = facts.yields
    if yields.has_words:
        share = percent(yields.kept_seconds / yields.seconds if yields.seconds else 0.0)
        caption = f"of {clock(yields.seconds)} in ({share}), {counted(yields.kept, 'utterance')}"
        yield card(clock(yields.kept_seconds), "kept", caption)
    elif run.get("utterances"):
        yield card(clock(yields.seconds), "ingested", counted(yields.utterances, "utterance"))
    lost = sum(loss.count for loss in yields.losses.values())
    reasons = f"for {counted(len(yields.losses), 'reason')}, see Yield"
    yield card(number(lost), "left out", reasons if lost else "no utterance was rejected")


def _speech_cards(facts: Facts, run: Run) -> Iterator[str]:
    speech, units, rate = facts.speech, facts.units, rates(facts, run)
    if speech.words:
        yield card(number(speech.words), "words with times", ", ".join(by_timing(speech)))
    if units and units.frames:
        caption = f"of {counted(len(units.counts), 'unit')}, {len(units.dead)} of them dead"
        yield card(f"{units.perplexity:.1f}", "unit perplexity", caption)
    if FRAMES in rate and rate.get(SUBWORDS):
        caption = f"{rate[FRAMES]:.3g} frames/s to {rate[SUBWORDS]:.3g} tokens/s"
        yield card(f"{rate[FRAMES] / rate[SUBWORDS]:.1f}{TIMES}", "speech compression", caption)


def _training_cards(facts: Facts) -> Iterator[str]:
    packed = facts.packed
    if packed and packed.rows:
        caption = f"in {counted(packed.rows, 'row')}, {percent(packed.fill)} full"
        yield card(number(packed.tokens), "training tokens", caption)


def header(run: Run) -> str:
    """Licences and fingerprints of the run."""
    licences = sorted({licence for folder in run.datasets.values() for licence in folder.manifest.licences if licence})
    prints = [
        f"<span>{escape(name)} <code>{escape(folder.manifest.fingerprint[:8])}</code></span>"
        for name, folder in run.datasets.items()
    ]
    parts = [f"<dt>Licences</dt><dd>{escape('; '.join(licences)) or 'none stated'}</dd>"]
    if prints:
        parts.append(f'<dt>Fingerprints</dt><dd class="prints">{"".join(prints)}</dd>')
    if run.incomplete:
        parts.append(f"<dt>Not finished</dt><dd>{escape(', '.join(run.incomplete))}: left out of this page</dd>")
    return f"<dl>{''.join(parts)}</dl>"


def footer(run: Run) -> str:
    """Versions of the packages behind the data."""
    versions: dict[str, str] = {}
    for folder in run.datasets.values():
        versions.update(folder.manifest.versions)
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return escape(f"Made with {packages}." if packages else "Made with speechprep.")
