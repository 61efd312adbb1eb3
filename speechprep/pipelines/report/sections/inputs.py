"""Section "Input": the files read and not read by `ingest`, and the rows with and without a transcript."""

from __future__ import annotations

from html import escape
from typing import Any

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page, counted, table
from speechprep.pipelines.report.plots.style import number
from speechprep.pipelines.sources.inventory import names_of

NAMES = 20  # names of unused transcripts on the page


def section(page: Page, run: Run, facts: Facts) -> None:
    """The counts in the manifest of the utterances; earlier manifests have none."""
    utterances = run.get("utterances")
    stored = utterances.extra if utterances else {}
    files = stored.get("files")
    if not files:
        return
    rows = [(escape(kind), "read", number(count)) for kind, count in sorted(files["read"].items())]
    rows += [
        (escape(kind), f"not read: {escape(reason.replace('_', ' '))}", number(count))
        for kind, reasons in sorted(files["not_read"].items())
        for reason, count in sorted(reasons.items())
    ]
    page.section(
        "input", "Input", [table(("kind", "", "files"), rows, numeric=(2,), fit=True), _unused(stored)], _lead(stored)
    )


def _lead(stored: dict[str, Any]) -> str:
    with_text, without = stored.get("with_transcript", 0), stored.get("without_transcript", 0)
    seen = stored["files"]["seen"]
    return f"{counted(seen, 'file')}; {counted(with_text, 'row')} with a transcript, {number(without)} without."


def _unused(stored: dict[str, Any]) -> str:
    unused = stored.get("unused_transcripts") or {}
    if not unused.get("count"):
        return ""
    return f'<p class="note">Transcript-like files without a use: {escape(names_of(unused, NAMES))}.</p>'
