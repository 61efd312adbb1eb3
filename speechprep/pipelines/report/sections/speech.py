"""Section "Speech": histograms of durations and scores, and the origin of the word times."""

from __future__ import annotations

from html import escape

from speechprep.artifacts import scores
from speechprep.artifacts.run import Run
from speechprep.pipelines.report import figures
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.histogram import BEYOND, Histogram
from speechprep.pipelines.report.page import Page, by_timing, counted, percent
from speechprep.pipelines.report.plots import style


def section(page: Page, run: Run, facts: Facts) -> None:
    """Lengths, speaking rate, alignment."""
    speech, body = facts.speech, []

    def add(name: str, title: str, values: Histogram, axis: str, caption: str, colour: str) -> None:
        if values.count:
            spread = f"from {values.low:.3g} to {values.high:.3g}"
            says = f"Median {values.quantile(0.5):.3g}, {spread} ({counted(values.count, 'utterance')})."
            body.append(page.figure(name, title, figures.histogram(values, axis, colour), caption, says))

    ends = f"The outermost bars also hold the {percent(BEYOND)} beyond them."
    add("durations", "Length of the utterances", speech.durations, "seconds", ends, style.SPEECH)
    for name, figure in scores.figures().items():
        values = speech.scores[name]
        if not figure.errors or values.high > 0:
            add(name, figure.title, values, figure.axis, figure.caption, getattr(style, figure.colour))
    lead = ""
    if speech.words:
        origins = escape(", ".join(by_timing(speech)))
        lead = f"{counted(speech.words, 'word')}, by the origin of their times: {origins}."
    page.section("speech", "Speech", [f'<div class="grid">{"".join(body)}</div>' if body else ""], lead)
