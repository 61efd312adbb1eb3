"""The plots, as plotly figure specifications (plain dicts: small, ordered, the same bytes for the same numbers)."""

from __future__ import annotations

from typing import Any

import numpy as np

from speechprep.pipelines.report.compression import FRAMES, RUNS, SUBWORDS
from speechprep.pipelines.report.facts import Kind, Packed, Units, Yield
from speechprep.pipelines.report.histogram import Histogram
from speechprep.pipelines.report.plots.style import (
    CATEGORIES,
    KEPT,
    LINE,
    LOST,
    MARKER,
    MINUS,
    MODALITY_COLOURS,
    MODALITY_NAMES,
    PAPER,
    SPEECH,
    TEXT,
    Figure,
    clock,
    hours,
    labels,
    layout,
    number,
    title,
)


def waterfall(yields: Yield) -> Figure:
    """From ingested hours down to kept hours, one step for each reason, then the rejects of later stages."""
    longest = max(yields.seconds, yields.kept_seconds, 1e-9)
    scale, unit = hours(longest)
    steps = _steps(yields)
    names = [name for name, *_ in steps]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": labels(names),
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
        "layout": layout(
            80 + 42 * len(steps),
            xaxis={"title": title(unit), "range": [0, longest / scale * (1.02 if len(steps) < 3 else 1.26)]},
            yaxis=CATEGORIES,
            bargap=0.25,
        ),
        "columns": ["step", "start", unit],
        "names": names,
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
        "layout": layout(
            260,
            xaxis={"title": title(axis)},
            yaxis={"title": title(counted)},
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
        "layout": layout(
            260,
            xaxis={"title": title("units, most frequent first")},
            yaxis={"title": title("% of frames"), "rangemode": "tozero"},
            shapes=[{**line, "line": {"color": LINE, "width": 1.5, "dash": "dot"}}],
            annotations=[{**note, "text": "even use", "font": {"color": LINE, "size": 12}}],
            bargap=0 if len(order) > 60 else 0.1,
        ),
        "columns": ["rank", "% of frames", "unit"],
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
        "layout": layout(260, xaxis={"title": title("frames in a run")}, yaxis={"title": title("% of runs")}),
        "columns": ["frames in a run", "% of runs", "frames"],
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
        "layout": layout(
            80 + 42 * len(rates),
            xaxis={"title": title("for each second of speech"), "range": [0, most * 1.12]},
            yaxis=CATEGORIES,
            bargap=0.3,
        ),
        "columns": ["form", "tokens for each second of speech"],
    }


def measure(names: list[str], values: list[float | None], axis: str) -> Figure:
    """One bar for each name; a value of None has no bar."""
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": labels(names),
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
        "layout": layout(
            80 + 30 * len(names),
            xaxis={"title": title(axis), "range": [0, 1.2 * most or 1.0]},
            yaxis=CATEGORIES,
            bargap=0.3,
        ),
        "columns": ["name", axis],
        "names": names,
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
            "y": labels(rows),
            "x": [int(count.get(part, 0)) for count in counts],
            "marker": {"color": MODALITY_COLOURS.get(part, MARKER)},
            "hovertemplate": f"%{{y}} %{{fullData.name}}: %{{x:,}} {counted}<extra></extra>",
        }
        for part in parts
    ]
    return {
        "data": data,
        "names": rows,
        "columns": ["row"],
        "layout": layout(
            84 + 42 * len(rows),
            barmode="stack",
            xaxis={"title": title(counted)},
            yaxis=CATEGORIES,
            bargap=0.3,
        ),
    }


def _modality_order(name: str) -> tuple[int, str]:
    order = ["unit", "text", "marker", "switch", "special", "padding"]
    return (order.index(name) if name in order else len(order), name)
