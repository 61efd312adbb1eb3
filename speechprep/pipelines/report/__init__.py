"""The report of a run: `report.html`, one self-contained file.

It reads the datasets and artifacts of a run folder, each streamed once. Sections without data are left out. The same
data gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from speechprep.artifacts import storage
from speechprep.artifacts.run import open_run
from speechprep.pipelines.report import headline
from speechprep.pipelines.report.document import document
from speechprep.pipelines.report.facts import gather
from speechprep.pipelines.report.page import Page
from speechprep.pipelines.report.sections import SECTIONS

NAME = "report.html"


def build_report(run_folder: str, out: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        run_folder: folder with `utterances`, `words`, ..; local or remote. Any of them may be missing.
        out: the file to write; `report.html` in the run folder by default.

    Returns:
        Where it is (for a remote run folder, its URI as a path).

    Raises:
        SchemaMismatch: a manifest of another tool.
    """
    where = str(out) if out is not None else storage.join(run_folder, NAME)
    storage.write_bytes(where, render(run_folder).encode())
    return Path(where)


def render(run_folder: str) -> str:
    """The page of a run, as HTML."""
    run = open_run(run_folder)
    facts = gather(run)
    page = Page()
    for section in SECTIONS:
        section(page, run, facts)
    return document(
        page,
        title=str(run.record.get("recipe") or Path(run.uri.rstrip("/")).name or "run"),
        lead=str(run.record.get("description") or ""),
        header=headline.header(run),
        cards=headline.cards(facts, run),
        footer=headline.footer(run),
    )
