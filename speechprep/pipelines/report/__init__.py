"""The report of a run: `report.html`, one self-contained file.

It reads the datasets and artifacts of a run folder, each streamed once. Sections without data are left out. The same
data gives the same bytes. The page loads nothing, and its Content-Security-Policy allows only its own scripts, by
their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from speechprep.artifacts import storage
from speechprep.artifacts.run import Run, open_run
from speechprep.pipelines.report import headline
from speechprep.pipelines.report.facts import Facts, gather
from speechprep.pipelines.report.figures import THEME
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
    data = {"figures": page.figures, "theme": THEME, "utterances": page.players}
    return _fill(page, run, facts, data)


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
