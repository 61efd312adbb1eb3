"""The report of a run: `report.html`, one self-contained file.

It reads the datasets and artifacts of a run folder, each streamed once. Sections without data are left out. The same
data gives the same bytes. The page loads nothing, and its Content-Security-Policy allows only its own scripts, by
their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from speechprep.artifacts import storage
from speechprep.artifacts.run import Run, open_run
from speechprep.pipelines.report import headline, sections
from speechprep.pipelines.report.facts import Facts, gather
from speechprep.pipelines.report.figures import THEME
from speechprep.pipelines.report.page import Page
from speechprep.pipelines.report.retrieval import measure
from speechprep.pipelines.report.selection import Chosen, choose
from speechprep.pipelines.report.utterance import draw

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
    data = {"figures": page.figures, "theme": THEME, "utterances": page.players}
    return _fill(page, run, facts, data)


def _utterances(page: Page, run: Run, facts: Facts) -> None:
    chosen = choose(run, facts.speech)
    rate = facts.units.rate if facts.units else None
    scores = _score_range(chosen)
    drawn = [draw(each, index, rate, scores) for index, each in enumerate(chosen)]
    page.players = [each.data for each in drawn]
    sections.utterance_section(page, [each.html for each in drawn], has_words=run.get("words") is not None)


def _index(page: Page, run: Run, facts: Facts) -> None:
    vectors = run.get("embeddings") or run.get("index")
    sections.index_section(page, run, measure(vectors) if vectors else None)


SECTIONS: tuple[Callable[[Page, Run, Facts], None], ...] = (
    lambda page, run, facts: headline.run_section(page, run),
    _utterances,
    lambda page, run, facts: sections.yield_section(page, facts),
    lambda page, run, facts: sections.speech_section(page, facts),
    lambda page, run, facts: sections.unit_section(page, facts.units, run.facts("codebook")),
    lambda page, run, facts: sections.compression_section(page, facts, run),
    lambda page, run, facts: sections.token_section(page, facts, run.facts("subword")),
    _index,
)
"""The sections, in the order of the page. A section without data adds nothing."""


def _score_range(chosen: list[Chosen]) -> tuple[float, float]:
    """The 5th and 95th percentile of the drawn word scores: one colour scale for all utterances."""
    words = [word for each in chosen for word in (each.words or {}).get("words") or []]
    scores = [word["score"] for word in words if word["score"] is not None and np.isfinite(word["score"])]
    return (float(np.quantile(scores, 0.05)), float(np.quantile(scores, 0.95))) if scores else (0.0, 1.0)


def _fill(page: Page, run: Run, facts: Facts, data: dict[str, Any]) -> str:
    from plotly.offline import get_plotlyjs

    # The player stands first: it answers while the browser still reads the four megabytes of plotly.
    scripts = {
        "player": _asset("player.js"),
        "plotly": get_plotlyjs().replace("\r\n", "\n"),
        "plots": _asset("plots.js"),
    }
    menu = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in page.menu)
    description = str(run.record.get("description") or "")
    return Template(_asset("template.html")).substitute(
        title=escape(str(run.record.get("recipe") or Path(run.uri.rstrip("/")).name or "run")),
        intro=f'<p class="lead">{escape(description)}</p>' if description else "",
        header=headline.header(run),
        menu=menu,
        cards=headline.cards(facts, run),
        sections="\n".join(page.html),
        footer=headline.footer(run),
        style=_asset("style.css"),
        data=_json(data),
        hashes=" ".join(_hash(script) for script in scripts.values()),
        **scripts,
    )


def _json(data: dict[str, Any]) -> str:
    """JSON without characters to end its script element."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def _asset(name: str) -> str:
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
