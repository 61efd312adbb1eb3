"""Downloads of a figure: the numbers as CSV, the picture as SVG, both inside of the page as links.

The files are part of the page, so they also reach a reader who received only the page, and need no JavaScript.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable
from html import escape, unescape
from typing import Any

from speechprep.pipelines.report.plots.style import Figure
from speechprep.pipelines.report.plots.svg import svg

PRIVATE = ("columns", "names")  # keys of a figure for the CSV file; plotly does not know them
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def links(name: str, figure: Figure, title: str) -> str:
    """Links to both files of a figure.

    Args:
        name: of the files, without their ending.
        figure: with the keys `PRIVATE`.
        title: plain text.
    """
    picture, numbers = svg(figure, title), csv_text(figure)
    return (
        '<p class="downloads">'
        + _link(f"{name}.svg", "image/svg+xml", picture, f"SVG of {title}", "SVG")
        + _link(f"{name}.csv", "text/csv;charset=utf-8", numbers, f"CSV of {title}", "CSV")
        + "</p>"
    )


def _link(file: str, media: str, content: str, label: str, text: str) -> str:
    data = base64.b64encode(content.encode("utf-8", "replace")).decode()
    return f'<a download="{escape(file)}" aria-label="{escape(label)}" href="data:{media};base64,{data}">{text}</a>'


def csv_text(figure: Figure) -> str:
    """The numbers of a figure as CSV, with the full names in place of the labels.

    A text that a spreadsheet would run as a formula has an apostrophe before it.
    """
    file = io.StringIO()
    rows = _heatmap_rows(figure) if figure["data"][0]["type"] == "heatmap" else _bar_rows(figure)
    csv.writer(file).writerows([[_cell(value) for value in row] for row in rows] if figure["data"] else [])
    return file.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "\ufffd")
    return "'" + text if text.startswith(_FORMULA) else text


def _heatmap_rows(figure: Figure) -> Iterable[list[Any]]:
    trace = figure["data"][0]
    yield [figure["columns"][0], *trace["x"]]
    for name, values in zip(figure["names"], trace["z"], strict=True):
        yield [name, *values]


def _bar_rows(figure: Figure) -> Iterable[list[Any]]:
    """One row for each bar, or for each stack of bars."""
    traces, layout = figure["data"], figure["layout"]
    place, length = ("y", "x") if traces[0].get("orientation") == "h" else ("x", "y")
    titles = {axis: layout[f"{axis}axis"].get("title", {}).get("text", axis) for axis in "xy"}
    columns = [figure.get("names") or [_plain(value) for value in traces[0][place]]]
    head = [titles[place]]
    if "base" in traces[0]:
        head.append("start")
        columns.append(traces[0]["base"])
    for trace in traces:
        head.append(f"{_plain(trace['name'])} ({titles[length]})" if "name" in trace else titles[length])
        columns.append(trace[length])
    if "customdata" in traces[0]:
        head.append("detail")
        columns.append(traces[0]["customdata"])
    named = figure.get("columns", [])
    yield [*named, *head[len(named) :]]
    yield from map(list, zip(*columns, strict=True))


def _plain(value: Any) -> Any:
    return unescape(value) if isinstance(value, str) else value
