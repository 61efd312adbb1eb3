"""Section "Stages": time, speed and rejects of each stage, from `run.json`."""

from __future__ import annotations

from html import escape

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.figures import clock
from speechprep.pipelines.report.page import TIMES, Page, table


def section(page: Page, run: Run, facts: Facts) -> None:
    """Seconds of each stage, from `run.json`."""
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
        page.section("stages", "Stages", [table(head, rows, numeric=(1, 2, 3, 4), fit=True)], lead)
