"""Section "Yield": amounts of speech from the input to the kept rows, with the losses by reason."""

from __future__ import annotations

from html import escape

from speechprep.artifacts.run import Run
from speechprep.pipelines.report import figures
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page, table
from speechprep.pipelines.report.plots.style import clock, number


def section(page: Page, run: Run, facts: Facts) -> None:
    """Where the hours went and why."""
    yields, body = facts.yields, []
    steps = figures.waterfall(yields)
    if len(steps["data"][0]["y"]) > 1:
        says = f"{clock(yields.kept_seconds)} of {clock(yields.seconds)} were kept."
        caption = (
            "Read from the top: each red bar takes away what one reason cost. Records that could not be read have no "
            "length and are in the table only."
        )
        if yields.unaligned_seconds:
            caption += " Grey: what the aligner had no words for, such as sounds."
        body.append(page.figure("yield", "From what came in to what was kept", steps, caption, says, wide=True))
    losses = sorted(yields.losses.values(), key=lambda loss: (-loss.count, loss.stage, loss.code))
    if losses:
        rows = [
            (
                escape(loss.stage),
                f"<code>{escape(loss.code)}</code>",
                number(loss.count),
                clock(loss.seconds) if loss.unknown < loss.count else "unknown",
                f"<code>{escape(loss.examples[0].id)}</code> <span>{escape(loss.examples[0].message)}</span>",
            )
            for loss in losses
        ]
        body.append(table(("stage", "reason", "utterances", "length", "an example"), rows, numeric=(2, 3)))
    else:
        body.append('<p class="note">No utterance was rejected.</p>')
    page.section("yield", "Yield", body)
