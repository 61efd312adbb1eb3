"""Section "Speakers and corpora": speech kept and not kept, by corpus and by speaker."""

from __future__ import annotations

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.groups import by_group, ranked
from speechprep.pipelines.report.page import Page, counted, percent
from speechprep.pipelines.report.plots import breakdown
from speechprep.pipelines.report.plots.style import clock

MOST = 25  # bars of a figure
_TITLES = {"corpus": ("corpus", "corpora"), "speaker": ("speaker", "speakers")}


def section(page: Page, run: Run, facts: Facts) -> None:
    """One figure for each column with a value."""
    utterances, words = run.get("utterances"), run.get("words")
    body = []
    for column, groups in (by_group(utterances, words) if utterances else {}).items():
        named = sum(name is not None for name in groups)
        if not named:
            continue
        one, several = _TITLES[column]
        bars, rest = ranked(groups, MOST)
        says = f"{named:,} {one if named == 1 else several}."
        caption = "Not kept: rejected, or dropped by a threshold." if words else "No stage has judged the speech yet."
        if rest.whole:
            share = f", {percent(rest.kept / rest.seconds)} of it kept" if words else ""
            caption += f" Without {counted(len(groups) - MOST, 'smaller one')}: {clock(rest.seconds)}{share}."
        figure = breakdown.amounts(bars, judged=words is not None)
        body.append(page.figure(f"by-{column}", f"Speech by {one}", figure, caption, says))
    page.section("breakdown", "Speakers and corpora", [f'<div class="grid">{"".join(body)}</div>' if body else ""])
