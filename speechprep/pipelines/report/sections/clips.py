"""Section "Clips": numbers of N-word clips, and of clips in the matched and unmatched pairings."""

from __future__ import annotations

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page, percent, table
from speechprep.pipelines.report.plots.style import number


def section(page: Page, run: Run, facts: Facts) -> None:
    """Clips of each number of words: in both pairings, without a partner, and the differences of duration."""
    rows = []
    for n_words, counts in sorted(run.facts("clips").get("pairing", {}).items(), key=lambda entry: int(entry[0])):
        n, unpaired = counts["clips"], counts["unpaired"]
        within = ", ".join(f"{number(k)} within {percent(float(limit))}" for limit, k in counts["within"].items())
        share = percent(unpaired / n) if n else ""
        rows.append((n_words, number(n), number(counts["paired"]), f"{number(unpaired)} ({share})", within))
    head = ("words", "clips", "in both pairings", "without a partner", "difference of duration to the partner")
    lead = (
        "A clip is a range of N words. In the unmatched pairing its text has the audio of a partner of the same "
        "speaker, corpus and split. Clips without a partner are in neither pairing."
    )
    page.section("clips", "Clips", [table(head, rows, numeric=(0, 1, 2, 3))] if rows else [], lead)
