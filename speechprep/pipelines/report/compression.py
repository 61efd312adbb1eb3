"""Tokens per second of the same speech in each form: frames, runs of units, subwords, text."""

from __future__ import annotations

from typing import Any

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts

FRAMES, RUNS, SUBWORDS, TEXT, WORDS = "frames", "run-length units", "speech subwords", "text tokens", "written words"


def rates(facts: Facts, run: Run) -> dict[str, float]:
    """Name -> tokens per second of speech, for each form in the run, the longest form first.

    Subwords and text tokens are counted in the rows of kind `unit` and `text`, by the seconds of their spans.
    Without these rows, the rates of the subword training are used.
    """
    by_form = {}
    units, folder = facts.units, run.get("units")
    if units and folder and units.frames:
        frames = units.rate or (units.frames / folder.manifest.seconds if folder.manifest.seconds else 0.0)
        if frames:
            by_form[FRAMES] = frames
            by_form[RUNS] = frames * units.run_count / units.frames
    for name, kind, fact in ((SUBWORDS, "unit", "speech"), (TEXT, "text", "text")):
        rows = (facts.tokens or {}).get(kind)
        if rows and rows.seconds.get(kind):  # the one modality of a row has the name of its kind
            by_form[name] = rows.modality[kind] / rows.seconds[kind]
        elif rate := _trained(run, fact):
            by_form[name] = rate
    if facts.speech.words and facts.yields.aligned_seconds:
        by_form[WORDS] = facts.speech.words / facts.yields.aligned_seconds
    return by_form


def _trained(run: Run, which: str) -> float:
    """Tokens per second of "speech" or "text" in the manifest of `subword`; 0 without an entry."""
    facts: Any = run.facts("subword")
    for key in ("coverage", "compression", which):
        facts = facts.get(key) or {}
    return float(facts.get("tokens_per_second") or 0.0)
