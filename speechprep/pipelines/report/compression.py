"""How much each form of the same speech takes: frames, runs of units, subwords, text."""

from __future__ import annotations

from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.reading import Run

FRAMES, RUNS, SUBWORDS, TEXT, WORDS = "frames", "run-length units", "speech subwords", "text tokens", "written words"


def rates(facts: Facts, run: Run) -> dict[str, float]:
    """Name -> tokens for each second of speech, of every form that the run has made, the longest form first.

    Subwords and text tokens are those of the rows of kind `unit` and `text`, divided by the seconds of their spans.
    """
    found = {}
    units, folder = facts.units, run.get("units")
    if units and folder and units.frames:
        frames = units.rate or (units.frames / folder.manifest.seconds if folder.manifest.seconds else 0.0)
        if frames:
            found[FRAMES] = frames
            found[RUNS] = frames * units.run_count / units.frames
    for name, kind in ((SUBWORDS, "unit"), (TEXT, "text")):  # the only modality of such a row is called like the kind
        rows = (facts.tokens or {}).get(kind)
        if rows and rows.seconds.get(kind):
            found[name] = rows.modality[kind] / rows.seconds[kind]
    if facts.speech.words and facts.yields.aligned_seconds:
        found[WORDS] = facts.speech.words / facts.yields.aligned_seconds
    return found
