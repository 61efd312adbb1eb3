"""Colours, layout and labels of the plots.

The colours belong to the light theme; for a dark theme the script of the page replaces them by `THEME`.
A figure is a plotly specification with two more keys for the CSV file: `columns`, the names of its columns, and
`names`, the full texts behind the labels. The page does not contain these keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

Figure = dict[str, Any]

MINUS = "\u2212"
_LONGEST_LABEL = 36

SPEECH, TEXT, MARKER, KEPT, LOST, LINE = "#2f6f9f", "#c07a1e", "#8a8f98", "#3d8b6d", "#b5484b", "#5b616b"
INK, GRID, PAPER = "#2b2f36", "#e4e6ea", "#ffffff"
THEME = {
    SPEECH: "#6fb1e0",
    TEXT: "#e5ab5c",
    MARKER: "#9aa1ac",
    KEPT: "#6fc3a2",
    LOST: "#e58485",
    LINE: "#aab1bd",
    INK: "#dfe3e8",
    GRID: "#343a44",
    PAPER: "#1d2128",
}
MODALITY_COLOURS = {"unit": SPEECH, "text": TEXT, "switch": LINE, "marker": MARKER, "special": MARKER, "padding": GRID}
MODALITY_NAMES = {
    "unit": "speech units",
    "marker": "markers",
    "switch": "modality switches",
    "special": "special tokens",
}


def layout(height: int = 300, **more: Any) -> dict[str, Any]:
    """Layout of a figure; `xaxis` and `yaxis` are added to the axes."""
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": True, "fixedrange": True}
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": LINE, "font": {"color": INK}},
        "showlegend": False,
        "bargap": 0.06,
        "dragmode": False,
    }
    for name in ("xaxis", "yaxis"):
        base[name] = {**axis, **more.pop(name, {})}
    return {**base, **more}


def title(text: str) -> dict[str, Any]:
    """Title of an axis."""
    return {"text": text, "standoff": 8, "font": {"size": 12, "color": LINE}}


CATEGORIES = {"autorange": "reversed", "type": "category", "showgrid": False, "ticksuffix": " "}


def labels(names: Sequence[str]) -> list[str]:
    """Texts of the data as labels: short, different from each other, and without plotly's markup characters."""
    short = [name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "\u2026" for name in names]
    used: set[str] = set()
    for i, name in enumerate(short):
        copy = 1
        while short[i] in used:
            copy += 1
            short[i] = f"{name} ({copy})"
        used.add(short[i])
    return [escape(name, quote=False) for name in short]


def hours(longest: float) -> tuple[float, str]:
    """Seconds of an axis unit, and its name, for lengths up to `longest` seconds."""
    return (3600, "hours") if longest >= 5400 else (60, "minutes") if longest >= 60 else (1, "seconds")


def clock(seconds: float) -> str:
    """A length for people: 12 s, 21.9 min, 3.42 h."""
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds else "0 s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:,.2f} h"


def number(value: float) -> str:
    """A count for people: 950, 12,345, 3.2 M."""
    if value >= 1e6:
        return f"{value / 1e6:,.3g} M" if value < 1e9 else f"{value / 1e9:,.3g} G"
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"
