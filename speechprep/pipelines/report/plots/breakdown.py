"""Figures of the parts of a run: hours by speaker or corpus, time by stage, and frames by unit and label."""

from __future__ import annotations

from collections.abc import Sequence

from speechprep.pipelines.report.groups import Amount
from speechprep.pipelines.report.plots.style import (
    CATEGORIES,
    KEPT,
    LINE,
    LOST,
    PAPER,
    SPEECH,
    Figure,
    clock,
    hours,
    labels,
    layout,
    title,
)


def amounts(groups: Sequence[tuple[str, Amount]], *, judged: bool) -> Figure:
    """Speech of each group, split into kept and not kept.

    Args:
        groups: names and amounts, in the order of the bars.
        judged: False for a run without `words`: nothing is kept or not kept yet.
    """
    scale, unit = hours(max((amount.seconds for _, amount in groups), default=0.0))
    names = [name for name, _ in groups]
    kept = [amount.kept / scale for _, amount in groups]
    lost = [(amount.seconds - amount.kept) / scale for _, amount in groups]
    parts = [("kept", KEPT, kept), ("not kept", LOST, lost)]
    if not judged:
        parts = [("ingested", SPEECH, lost)]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": labels(names),
            "x": [round(value, 6) for value in values],
            "marker": {"color": colour},
            "hovertemplate": f"%{{y}}, {name}: %{{x:.4~g}} {unit}<extra></extra>",
        }
        for name, colour, values in parts
    ]
    return {
        "data": data,
        "layout": layout(
            84 + 24 * len(names), barmode="stack", xaxis={"title": title(unit)}, yaxis=CATEGORIES, bargap=0.3
        ),
        "names": names,
        "columns": ["name"],
    }


def stage_times(stages: Sequence[tuple[str, float]]) -> Figure:
    """Seconds of each stage, in the order of the run."""
    names, seconds = [name for name, _ in stages], [value for _, value in stages]
    scale, unit = hours(max(seconds, default=0.0))
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": labels(names),
        "x": [round(value / scale, 6) for value in seconds],
        "text": [clock(value) for value in seconds],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": SPEECH},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    return {
        "data": [bars],
        "layout": layout(
            80 + 28 * len(names),
            xaxis={"title": title(unit), "range": [0, 1.2 * max(seconds, default=0.0) / scale or 1.0]},
            yaxis=CATEGORIES,
            bargap=0.3,
        ),
        "names": names,
        "columns": ["stage", unit],
    }


def label_map(names: Sequence[str], units: Sequence[int], shares: Sequence[Sequence[float]]) -> Figure:
    """Heat map of labels and units.

    Args:
        names: the labels, from the top.
        units: ids of the units, from the left.
        shares: a row for each label: per cent of the frames of each unit with this label.
    """
    # Numbers of the columns are a category each: the units are not in the order of their ids.
    cells = {
        "type": "heatmap",
        "x": [str(unit) for unit in units],
        "y": labels(names),
        "z": [list(row) for row in shares],
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, PAPER], [1, SPEECH]],
        "colorbar": {"thickness": 10, "outlinewidth": 0, "ticksuffix": " %", "tickfont": {"color": LINE}},
        "hovertemplate": "unit %{x}, %{y}: %{z} % of the unit's frames<extra></extra>",
    }
    columns = {"type": "category", "showgrid": False, "title": title("units, grouped by their most frequent label")}
    return {
        "data": [cells],
        "layout": layout(
            120 + max(14 * len(names), 60), xaxis=columns, yaxis={**CATEGORIES, "dtick": 1, "tickfont": {"size": 10}}
        ),
        "names": list(names),
        "columns": ["label"],
    }
