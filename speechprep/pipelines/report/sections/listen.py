"""Section "Listen": some utterances with waveform, words and units, and a player."""

from __future__ import annotations

import numpy as np

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page
from speechprep.pipelines.report.selection import Chosen, choose
from speechprep.pipelines.report.utterance import draw


def section(page: Page, run: Run, facts: Facts) -> None:
    """The drawn utterances, with a legend of the colours."""
    chosen = choose(run, facts.speech)
    if not chosen:
        return
    rate = facts.units.rate if facts.units else None
    scores = _score_range(chosen)
    drawn = [draw(each, index, rate, scores) for index, each in enumerate(chosen)]
    page.players = [each.data for each in drawn]
    legend = (
        '<ul class="legend"><li style="--tone:var(--kept)">aligned</li><li style="--tone:var(--text)">interpolated</li>'
        '<li style="--tone:var(--given)">given with the corpus</li></ul>'
    )
    lead = (
        "Play, or click anywhere to go there; the arrow keys, Page Up and Page Down move by time and by word. From the "
        "top: the waveform, the words (the paler, the lower their score) and the units, one colour each; + zooms in "
        "until their numbers show."
    )
    page.section("listen", "Listen", [legend if "words" in run else "", *(each.html for each in drawn)], lead)


def _score_range(chosen: list[Chosen]) -> tuple[float, float]:
    """The 5th and 95th percentile of the drawn word scores: one colour scale for all utterances."""
    words = [word for each in chosen for word in (each.words or {}).get("words") or []]
    scores = [word["score"] for word in words if word["score"] is not None and np.isfinite(word["score"])]
    return (float(np.quantile(scores, 0.05)), float(np.quantile(scores, 0.95))) if scores else (0.0, 1.0)
