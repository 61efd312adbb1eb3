"""The plots, as plotly figure specifications (plain dicts: small, ordered, the same bytes for the same numbers).

The colours belong to the light theme; for a dark theme the script of the page replaces them by `THEME`.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from speechprep.pipelines.report.compression import FRAMES, RUNS, SUBWORDS
from speechprep.pipelines.report.facts import Kind, Packed, Units, Yield
from speechprep.pipelines.report.histogram import Histogram

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


def _layout(height: int = 300, **more: Any) -> dict[str, Any]:
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


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "standoff": 8, "font": {"size": 12, "color": LINE}}


_CATEGORIES = {"autorange": "reversed", "type": "category", "showgrid": False, "ticksuffix": " "}


def _label(text: str) -> str:
    """Text of the data as a label: short, and without plotly's markup characters."""
    return escape(text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "\u2026", quote=False)


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


def waterfall(yields: Yield) -> Figure:
    """From ingested hours down to kept hours, one step for each reason, then the rejects of later stages."""
    longest = max(yields.seconds, yields.kept_seconds, 1e-9)
    scale, unit = (3600, "hours") if longest >= 5400 else (60, "minutes") if longest >= 60 else (1, "seconds")
    steps = _steps(yields)
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [_label(name) for name, *_ in steps],
        "base": [round(base / scale, 6) for _, base, *_ in steps],
        "x": [round(value / scale, 6) for _, _, value, *_ in steps],
        "text": [text for *_, text in steps],
        "textposition": "auto",
        "insidetextfont": {"color": PAPER},
        "cliponaxis": False,
        "hoverinfo": "y+text",
        "marker": {"color": [colour for _, _, _, colour, _ in steps]},
    }
    return {
        "data": [bars],
        "layout": _layout(
            80 + 42 * len(steps),
            xaxis={"title": _title(unit), "range": [0, longest / scale * (1.02 if len(steps) < 3 else 1.26)]},
            yaxis=_CATEGORIES,
            bargap=0.25,
        ),
    }


def _steps(yields: Yield) -> list[tuple[str, float, float, str, str]]:
    """(name, base, length, colour, text) of each bar, in seconds."""
    steps = [("ingested", 0.0, yields.seconds, SPEECH, f"{clock(yields.seconds)} · {number(yields.utterances)} utt.")]
    losses = sorted(yields.losses.values(), key=lambda loss: (-loss.seconds, loss.stage, loss.code))
    rest = yields.seconds
    for loss in losses:
        if loss.stage == "align" and loss.seconds:
            rest -= loss.seconds
            steps.append((loss.code, rest, loss.seconds, LOST, f"{MINUS}{clock(loss.seconds)}"))
    if yields.unaligned_seconds > 0.05:
        rest -= yields.unaligned_seconds
        text = f"{MINUS}{clock(yields.unaligned_seconds)}"
        steps.append(("not aligned", rest, yields.unaligned_seconds, MARKER, text))
    if yields.has_words:
        rest = yields.kept_seconds
        steps.append(("kept", 0.0, rest, KEPT, f"{clock(rest)} · {number(yields.kept)} utt."))
    for loss in losses:
        if loss.stage not in ("ingest", "align") and loss.seconds:
            rest -= loss.seconds
            name = f"{loss.stage}: {loss.code}"
            steps.append((name, max(rest, 0.0), loss.seconds, LOST, f"{MINUS}{clock(loss.seconds)}"))
    return steps


def histogram(values: Histogram, axis: str, colour: str = SPEECH, counted: str = "utterances") -> Figure:
    """Bars of a distribution with its median marked."""
    bars, median = values.bars(), values.quantile(0.5)
    data = {
        "type": "bar",
        "x": bars.centres,
        "y": bars.counts,
        "width": bars.width,
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertemplate": f"%{{x:.4~g}} ± {bars.width / 2:.3g}<br>%{{y:,}} {counted}<extra></extra>",
    }
    mark = {"type": "line", "x0": median, "x1": median, "y0": 0, "y1": 1, "yref": "paper"}
    place = {"x": median, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {
        "data": [data],
        "layout": _layout(
            260,
            xaxis={"title": _title(axis)},
            yaxis={"title": _title(counted)},
            shapes=[{**mark, "line": {"color": LINE, "width": 1.5, "dash": "dot"}}],
            annotations=[{**place, "text": f"median {median:.3g}", "font": {"color": LINE, "size": 12}}],
            margin={"l": 8, "r": 12, "t": 24, "b": 8},
            bargap=0,
        ),
    }


def unit_ranks(units: Units) -> Figure:
    """Share of the frames of each unit, the most frequent first, beside an even use of the codebook."""
    order = np.argsort(-units.counts, kind="stable")
    share = 100 * units.counts[order] / max(units.frames, 1)
    even = 100 / max(len(order), 1)
    bars = {
        "type": "bar",
        "x": list(range(1, len(order) + 1)),
        "y": [float(f"{value:.4g}") for value in share],
        "customdata": [int(unit) for unit in order],
        "marker": {"color": SPEECH, "line": {"width": 0}},
        "hovertemplate": "unit %{customdata}: %{y:.3g} % of frames<br>rank %{x}<extra></extra>",
    }
    line = {"type": "line", "x0": 0.5, "x1": len(order) + 0.5, "y0": even, "y1": even}
    note = {"x": 1, "xref": "paper", "xanchor": "right", "y": even, "yanchor": "bottom", "showarrow": False}
    return {
        "data": [bars],
        "layout": _layout(
            260,
            xaxis={"title": _title("units, most frequent first")},
            yaxis={"title": _title("% of frames"), "rangemode": "tozero"},
            shapes=[{**line, "line": {"color": LINE, "width": 1.5, "dash": "dot"}}],
            annotations=[{**note, "text": "even use", "font": {"color": LINE, "size": 12}}],
            bargap=0 if len(order) > 60 else 0.1,
        ),
    }


def run_lengths(units: Units) -> Figure:
    """Lengths of the runs of equal units, in frames."""
    longest = len(units.runs) - 1
    shown = max(int(np.flatnonzero(units.runs).max(initial=1)), 8)
    lengths = list(range(1, shown + 1))
    share = 100 * units.runs[1 : shown + 1] / max(units.run_count, 1)
    bars = {
        "type": "bar",
        "x": lengths,
        "y": [round(float(value), 4) for value in share],
        "customdata": [f"{n} or more" if n == longest else str(n) for n in lengths],
        "marker": {"color": SPEECH, "line": {"width": 0}},
        "hovertemplate": "%{customdata} frames: %{y:.3g} % of runs<extra></extra>",
    }
    return {
        "data": [bars],
        "layout": _layout(260, xaxis={"title": _title("frames in a run")}, yaxis={"title": _title("% of runs")}),
    }


def compression(rates: dict[str, float]) -> Figure:
    """Tokens for a second of speech in each form."""
    colours = {FRAMES: MARKER, RUNS: SPEECH, SUBWORDS: SPEECH}
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": list(rates),
        "x": [round(rate, 3) for rate in rates.values()],
        "text": [f"{rate:.3g}" for rate in rates.values()],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": [colours.get(name, TEXT) for name in rates]},
        "hovertemplate": "%{y}: %{x:.4g} tokens/s<extra></extra>",
    }
    most = max(rates.values(), default=1.0)
    return {
        "data": [bars],
        "layout": _layout(
            80 + 42 * len(rates),
            xaxis={"title": _title("for each second of speech"), "range": [0, most * 1.12]},
            yaxis=_CATEGORIES,
            bargap=0.3,
        ),
    }


def measure(names: list[str], values: list[float | None], axis: str) -> Figure:
    """One bar for each name; a value of None has no bar."""
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [_label(name) for name in names],
        "x": [None if value is None else float(f"{value:.4g}") for value in values],
        "text": ["" if value is None else f"{value:.3g}" for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": SPEECH},
        "hovertemplate": "%{y}: %{x:.4~g}<extra></extra>",
    }
    most = max((value for value in values if value is not None), default=1.0)
    return {
        "data": [bars],
        "layout": _layout(
            80 + 30 * len(names),
            xaxis={"title": _title(axis), "range": [0, 1.2 * most or 1.0]},
            yaxis=_CATEGORIES,
            bargap=0.3,
        ),
    }


def mixture(kinds: dict[str, Kind]) -> Figure:
    """Tokens of each kind, split into speech, text and markers."""
    names = sorted(kinds)
    return _shares(names, [kinds[name].modality for name in names], "tokens")


def packed_mixture(packed: Packed, names: dict[int, str]) -> Figure:
    """The positions of the training shards: each modality, and padding."""
    parts = {names.get(which, f"modality {which}"): count for which, count in sorted(packed.modality.items())}
    return _shares([""], [{**parts, "padding": packed.padding}], "positions")


def _shares(rows: list[str], counts: list[Any], counted: str) -> Figure:
    parts = sorted({name for count in counts for name, n in count.items() if n}, key=_modality_order)
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": MODALITY_NAMES.get(part, part),
            "y": [_label(row) for row in rows],
            "x": [int(count.get(part, 0)) for count in counts],
            "marker": {"color": MODALITY_COLOURS.get(part, MARKER)},
            "hovertemplate": f"%{{y}} %{{fullData.name}}: %{{x:,}} {counted}<extra></extra>",
        }
        for part in parts
    ]
    return {
        "data": data,
        "layout": _layout(
            84 + 42 * len(rows),
            barmode="stack",
            xaxis={"title": _title(counted)},
            yaxis=_CATEGORIES,
            bargap=0.3,
        ),
    }


def _modality_order(name: str) -> tuple[int, str]:
    order = ["unit", "text", "marker", "switch", "special", "padding"]
    return (order.index(name) if name in order else len(order), name)
