"""Section "Units": use of the codebook, and its quality."""

from __future__ import annotations

from typing import Any

from speechprep.artifacts.run import Run
from speechprep.pipelines.report import figures
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page, counted, facts_table, percent
from speechprep.pipelines.report.plots.style import number
from speechprep.pipelines.stages.cluster.quality import quality_lines


def section(page: Page, run: Run, facts: Facts) -> None:
    """Use of the codebook."""
    units = facts.units
    if not units or not units.frames:
        return
    size, dead = len(units.counts), units.dead
    size_source = "" if units.declared else " (by the largest id seen; no manifest tells)"
    says = f"Perplexity {units.perplexity:.1f} of {size} units, {len(dead)} dead."
    caption = (
        "The flatter, the better the codebook is used; perplexity is the number of equally frequent units that would "
        "be as varied."
    )
    mean = units.frames / max(units.run_count, 1)
    body = [
        page.figure("ranks", "How often each unit is used", figures.unit_ranks(units), caption, says),
        page.figure(
            "runs",
            "How long a unit lasts",
            figures.run_lengths(units),
            "Run-length encoding keeps one token for each run, so long runs are what it saves.",
            f"A run is {mean:.2f} frames on average.",
        ),
    ]
    note = ""
    if dead:
        more = f" and {len(dead) - 60} more" if len(dead) > 60 else ""
        note = f'<p class="note">Dead units: {", ".join(map(str, dead[:60]))}{more}.</p>'
    lead = f"{counted(units.frames, 'frame')}, {counted(units.run_count, 'run')}, {counted(size, 'unit')}{size_source}."
    page.section(
        "units",
        "Units",
        [f'<div class="grid">{"".join(body)}</div>', note, _codebook_table(run.facts("codebook"))],
        lead,
    )


def _codebook_table(quality: dict[str, Any]) -> str:
    """Quality of the codebook, from the clustering."""
    words = quality.get("words") or {}
    rows: list[tuple[str, str]] = []
    if "frames_used" in quality and "frames_seen" in quality:
        rows.append(
            ("frames it was fitted to", f"{number(quality['frames_used'])} of {number(quality['frames_seen'])} sampled")
        )
    if "silent_share" in quality:
        rows.append(("of them silent", percent(quality["silent_share"])))
    if "duplicate_units" in quality:
        rows.append(("units next to another one", number(quality["duplicate_units"])))
    if "bits_per_second" in quality:
        rows.append(("information in a second", f"{number(round(quality['bits_per_second']))} bits at most"))
    if "pnmi" in words:
        rows.append(("what the units tell of the word spoken (PNMI)", percent(words["pnmi"])))
    rows += quality_lines(quality)
    return facts_table(rows)
