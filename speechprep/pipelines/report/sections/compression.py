"""Section "Compression": tokens for one second of speech in each form."""

from __future__ import annotations

from speechprep.artifacts.run import Run
from speechprep.pipelines.report import figures
from speechprep.pipelines.report.compression import FRAMES, RUNS, SUBWORDS, TEXT, rates
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page


def section(page: Page, run: Run, facts: Facts) -> None:
    """From frames to tokens, beside text."""
    rate = rates(facts, run)
    if FRAMES not in rate:
        return
    says = f"{rate[FRAMES]:.3g} frames/s become {rate[RUNS]:.3g} units/s by run-length encoding"
    if SUBWORDS in rate:
        says += f" and {rate[SUBWORDS]:.3g} tokens/s by SentencePiece"
    caption = (
        "A model reads speech and text in one sequence; the nearer their bars, the more evenly a context is shared."
    )
    if rate.get(TEXT) and SUBWORDS in rate:
        caption += f" Here speech takes {rate[SUBWORDS] / rate[TEXT]:.1f} tokens for each token of its text."
    figure = page.figure(
        "compression", "Tokens for one second of speech", figures.compression(rate), caption, says + ".", wide=True
    )
    page.section("compression", "Compression", [figure])
