"""The HTML document around a page: style, scripts and data in one file.

The document loads nothing, and its Content-Security-Policy allows only its own scripts, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from importlib import resources
from string import Template
from typing import Any

from speechprep.pipelines.report.page import Page
from speechprep.pipelines.report.plots.style import THEME

_NOT_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def document(page: Page, *, title: str, lead: str = "", header: str = "", cards: str = "", footer: str = "") -> str:
    """The HTML of a page.

    Args:
        page: sections, figures and players.
        title, lead: plain text.
        header, cards, footer: HTML.
    """
    from plotly.offline import get_plotlyjs

    # The player stands first: it answers while the browser still reads the four megabytes of plotly.
    scripts = {
        "player": _asset("player.js"),
        "plotly": get_plotlyjs().replace("\r\n", "\n"),
        "plots": _asset("plots.js"),
    }
    menu = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in page.menu)
    return Template(_asset("template.html")).substitute(
        title=_printable(escape(title)),
        intro=f'<p class="lead">{_printable(escape(lead))}</p>' if lead else "",
        header=_printable(header),
        menu=menu,
        cards=_printable(cards),
        sections=_printable("\n".join(page.html)),
        footer=_printable(footer),
        style=_asset("style.css"),
        data=_json({"figures": page.figures, "theme": THEME, "utterances": page.players}),
        hashes=" ".join(_hash(script) for script in scripts.values()),
        **scripts,
    )


def _printable(text: str) -> str:
    """The text with a replacement for each character that HTML does not allow."""
    return _NOT_HTML.sub("\ufffd", text)


def _json(data: dict[str, Any]) -> str:
    """JSON without characters to end its script element."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def _asset(name: str) -> str:
    return (resources.files("speechprep.pipelines.report") / name).read_text(encoding="utf-8")
