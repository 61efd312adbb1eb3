"""Section "Stages": time, speed and rejects of each stage, from `run.json`."""

from __future__ import annotations

from html import escape

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import TIMES, Page, table
from speechprep.pipelines.report.plots import breakdown
from speechprep.pipelines.report.plots.style import clock


def section(page: Page, run: Run, facts: Facts) -> None:
    """A table and a figure of the stages."""
    rows = []
    for stage in run.record.get("stages") or []:
        speed = stage.get("times_real_time")
        cells = (
            str(stage.get("name") or ""),
            clock(float(stage.get("seconds") or 0.0)),
            f"{speed:,.0f}{TIMES}" if isinstance(speed, int | float) else "",
            str(stage.get("workers") or ""),
            str(stage.get("rejected") or ""),
        )
        rows.append(tuple(map(escape, cells)))
    if rows:
        total = sum(float(stage.get("seconds") or 0.0) for stage in run.record["stages"])
        audio = float(run.record.get("audio_seconds") or 0.0)
        lead = (
            f"{clock(audio)} of audio in {clock(total)}: {audio / total:,.1f}{TIMES} real time."
            if audio and total
            else ""
        )
        head = ("stage", "time", "times real time", "workers", "rejects")
        page.section("stages", "Stages", [table(head, rows, numeric=(1, 2, 3, 4), fit=True), _figure(page, run)], lead)


def _figure(page: Page, run: Run) -> str:
    times = [(str(stage.get("name") or ""), float(stage.get("seconds") or 0.0)) for stage in run.record["stages"]]
    total = sum(seconds for _, seconds in times)
    if not total:
        return ""
    longest, seconds = max(times, key=lambda entry: entry[1])
    says = f"{longest} took longest: {clock(seconds)} of {clock(total)}."
    caption = "Wall time of each stage, as recorded in run.json."
    return page.figure("stage-times", "Time of each stage", breakdown.stage_times(times), caption, says, wide=True)
