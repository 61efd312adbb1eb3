"""A figure as an SVG file, in the light colours, on white.

plotly itself needs a browser for SVG. This file draws the part of plotly's specification that the figures use: bars
(upright, lying, stacked, with a base), a heat map, lines across the plot, and notes. The same figure gives the same
bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape, unescape
from typing import Any

from speechprep.pipelines.report.histogram import nice_step
from speechprep.pipelines.report.plots.style import GRID, INK, LINE, PAPER, SPEECH, Figure

WIDTH = 860
_CHARACTER, _LINE_HEIGHT = 6.7, 17.0  # pixels of text of 12 px
_SHADES = 24
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Scale:
    """Values of an axis to pixels: `first` lies at pixel `start`, `last` at pixel `end`."""

    first: float
    last: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.first) / ((self.last - self.first) or 1.0) * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """Round values inside of the axis."""
        step = nice_step((self.last - self.first) / 6) or 1.0
        for i in range(math.ceil(self.first / step - 1e-9), math.floor(self.last / step + 1e-9) + 1):
            yield i * step


def svg(figure: Figure, title: str) -> str:
    """The figure as SVG.

    Args:
        figure: see `plots.style`.
        title: plain text, for screen readers.
    """
    traces, layout = figure["data"], figure["layout"]
    height = layout["height"]
    if not traces:
        body = [""]
    elif traces[0]["type"] == "heatmap":
        body = list(_heatmap(traces[0], layout, height))
    else:
        body = list(_bars(traces, layout, height))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12"><title>{xml(title)}</title>'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>{"".join(body)}</svg>\n'
    )


def xml(text: str) -> str:
    """Text of the data as XML; characters that XML does not allow are replaced."""
    return escape(_NOT_XML.sub("\ufffd", unescape(text)))


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = INK, more: str = "") -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="{colour}"{more}>{xml(text)}</text>'


def _n(value: float) -> str:
    return f"{round(value, 2) + 0.0:g}" if abs(value) < 1000 else f"{value:.1f}"


def _rect(x: float, y: float, width: float, height: float) -> str:
    """A rectangle as part of a path."""
    return f"M{_n(x)} {_n(y)}h{_n(width)}v{_n(height)}h{_n(-width)}z"


def _axis_title(layout: dict[str, Any], axis: str) -> str:
    return str(layout[f"{axis}axis"].get("title", {}).get("text", ""))


def _left(labels: Sequence[str]) -> float:
    return 16 + _CHARACTER * max((len(unescape(label)) for label in labels), default=0)


def _bars(traces: list[dict[str, Any]], layout: dict[str, Any], height: float) -> Iterator[str]:
    lying = traces[0].get("orientation") == "h"
    place, length = ("y", "x") if lying else ("x", "y")
    places = traces[0][place]
    spans = _spans(traces, length)
    ends = [edge for trace in spans for span in trace for edge in span]
    low, high = layout[f"{length}axis"].get("range") or (min(0.0, *ends), 1.04 * max(0.0, *ends) or 1.0)
    top = 16 + _LINE_HEIGHT * ("name" in traces[0]) + 14 * bool(layout.get("annotations"))
    bottom = height - 44
    if lying:
        values = Scale(low, high, _left(places), WIDTH - 24)
        slots = Scale(0, len(places) or 1, top, bottom)
        thick = [1 - layout["bargap"]] * len(places)
        centres = [i + 0.5 for i in range(len(places))]
    else:
        thick = [float(traces[0].get("width") or 1 - layout["bargap"])] * len(places)
        centres = [float(value) for value in places]
        half = max(thick, default=1.0) / 2
        slots = Scale(min(centres, default=0) - half, max(centres, default=1) + half, 72, WIDTH - 24)
        values = Scale(low, high, bottom, top)
    yield from _grid(values, lying, slots)
    yield from _names(traces)
    for trace, drawn in zip(traces, spans, strict=True):
        yield from _trace(trace, drawn, [slots, values], centres, thick, lying=lying)
    if lying:
        for label, centre in zip(places, centres, strict=True):
            yield _text(values.start - 8, slots(centre) + 4, str(label), "end")
    else:
        for tick in slots.ticks():
            yield _text(slots(tick), bottom + 16, f"{tick:.4g}", "middle", LINE)
    yield _text((values.start if lying else 72) + 4, height - 8, _axis_title(layout, "x"), colour=LINE)
    if _axis_title(layout, "y"):
        turned = f' transform="rotate(-90 14 {_n(bottom)})"'
        yield _text(14, bottom, _axis_title(layout, "y"), colour=LINE, more=turned)
    yield from _marks(layout, slots, values)


def _spans(traces: list[dict[str, Any]], length: str) -> list[list[tuple[float, float]]]:
    """(from, to) of each bar of each trace; stacked one after the other."""
    reached = [float(base) for base in traces[0].get("base") or [0.0] * len(traces[0][length])]
    spans = []
    for trace in traces:
        row = []
        for i, value in enumerate(trace[length]):
            row.append((reached[i], reached[i] + (value or 0.0)))
            reached[i] += value or 0.0
        spans.append(row)
    return spans


def _grid(values: Scale, lying: bool, slots: Scale) -> Iterator[str]:  # noqa: FBT001
    for tick in values.ticks():
        at, name = values(tick), f"{tick:,.4g}"
        if lying:
            yield f'<path d="M{_n(at)} {_n(slots.start)}V{_n(slots.end)}" stroke="{GRID}"/>'
            yield _text(at, slots.end + 16, name, "middle", LINE)
        else:
            yield f'<path d="M{_n(slots.start)} {_n(at)}H{_n(slots.end)}" stroke="{GRID}"/>'
            yield _text(slots.start - 6, at + 4, name, "end", LINE)


def _names(traces: list[dict[str, Any]]) -> Iterator[str]:
    x = 16.0
    for trace in traces:
        if "name" in trace:
            yield f'<path d="{_rect(x, 6, 10, 10)}" fill="{trace["marker"]["color"]}"/>'
            yield _text(x + 15, 15, trace["name"], colour=LINE)
            x += 36 + _CHARACTER * len(trace["name"])


def _trace(
    trace: dict[str, Any],
    spans: list[tuple[float, float]],
    scales: Sequence[Scale],
    centres: list[float],
    thick: list[float],
    *,
    lying: bool,
) -> Iterator[str]:
    """The bars of a trace, one path for each colour, and their texts."""
    slots, values = scales
    colour, paths, texts = trace["marker"]["color"], {}, []  # type: ignore[var-annotated]
    for i, ((low, high), centre) in enumerate(zip(spans, centres, strict=True)):
        tone = colour if isinstance(colour, str) else colour[i]
        across = sorted((slots(centre - thick[i] / 2), slots(centre + thick[i] / 2)))
        along = sorted((values(low), values(high)))
        sides = (along, across) if lying else (across, along)
        box = (sides[0][0], sides[1][0], sides[0][1] - sides[0][0], sides[1][1] - sides[1][0])
        if box[2] > 0 and box[3] > 0:
            paths.setdefault(tone, []).append(_rect(*box))
        if trace.get("text") and trace["text"][i]:
            texts.append(_bar_text(trace["text"][i], box, inside=trace.get("textposition") == "auto"))
    for tone, parts in paths.items():
        yield f'<path d="{"".join(parts)}" fill="{tone}"/>'
    yield from texts


def _bar_text(text: str, box: tuple[float, float, float, float], *, inside: bool) -> str:
    x, y, width, height = box
    if inside and _CHARACTER * len(text) + 12 < width:
        return _text(x + width - 6, y + height / 2 + 4, text, "end", PAPER)
    return _text(x + width + 6, y + height / 2 + 4, text)


def _marks(layout: dict[str, Any], slots: Scale, values: Scale) -> Iterator[str]:
    """Dotted lines and their notes; figures with upright bars only."""
    for shape in layout.get("shapes", []):
        if shape.get("yref") == "paper":
            at = _n(slots(shape["x0"]))
            way = f"M{at} {_n(values.start)}V{_n(values.end)}"
        else:
            way = f"M{_n(slots.start)} {_n(values(shape['y0']))}H{_n(slots.end)}"
        yield f'<path d="{way}" stroke="{LINE}" stroke-width="1.5" stroke-dasharray="2 3"/>'
    for note in layout.get("annotations", []):
        if note.get("yref") == "paper":
            yield _text(slots(note["x"]), values.end - 5, note["text"], "middle", LINE)
        else:
            yield _text(slots.end, values(note["y"]) - 5, note["text"], "end", LINE)


def _heatmap(trace: dict[str, Any], layout: dict[str, Any], height: float) -> Iterator[str]:
    names, columns = trace["y"], trace["x"]
    right, top, bottom = WIDTH - 24.0, 16.0, height - 44.0
    across, down = Scale(0, len(columns) or 1, _left(names), right), Scale(0, len(names) or 1, top, bottom)
    most = trace["zmax"]
    wide, high = across(1) - across(0), down(1) - down(0)
    cells: dict[int, list[str]] = {}
    for i, row in enumerate(trace["z"]):
        for j, value in enumerate(row):
            shade = math.ceil(_SHADES * min(value / most, 1.0) - 1e-9)
            if shade > 0:
                cells.setdefault(shade, []).append(_rect(across(j), down(i), wide, high))
    for shade, parts in sorted(cells.items()):
        yield f'<path d="{"".join(parts)}" fill="{SPEECH}" fill-opacity="{shade / _SHADES:.3f}"/>'
    frame = _rect(across.start, top, right - across.start, bottom - top)
    yield f'<path d="{frame}" fill="none" stroke="{GRID}"/>'
    for i, name in enumerate(names):
        yield _text(across.start - 8, down(i + 0.5) + 4, str(name), "end")
    step = max(math.ceil(len(columns) * 36 / (right - across.start)), 1)
    for j in range(0, len(columns), step):
        yield _text(across(j + 0.5), bottom + 16, str(columns[j]), "middle", LINE)
    yield _text(across.start, height - 8, _axis_title(layout, "x"), colour=LINE)
