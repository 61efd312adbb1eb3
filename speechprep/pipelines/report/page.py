"""Parts of the sections: plots with captions, tables, headline cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from speechprep.pipelines.report.facts import Speech
from speechprep.pipelines.report.plots.downloads import PRIVATE, links
from speechprep.pipelines.report.plots.style import THEME, Figure, number

TIMES, UNBROKEN = "\u00d7", "\u00a0"  # the sign of multiplication; a non-breaking space


@dataclass
class Page:
    """The page under construction: HTML in order, figures by the id of their place, entries of the menu, players."""

    html: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    menu: list[tuple[str, str]] = field(default_factory=list)
    players: list[dict[str, Any]] = field(default_factory=list)

    def section(self, anchor: str, title: str, body: Sequence[str], lead: str = "") -> None:
        """Append a section, unless it has no body."""
        if not any(body):
            return
        self.menu.append((anchor, title))
        intro = f'<p class="lead">{lead}</p>' if lead else ""
        self.html.append(f'<section id="{anchor}"><h2>{title}</h2>{intro}{"".join(body)}</section>')

    def figure(self, name: str, title: str, figure: Figure, caption: str, says: str, *, wide: bool = False) -> str:
        """A plot with its title, a caption on how to read it, its content in words, and its files."""
        self.figures[name] = {key: value for key, value in figure.items() if key not in PRIVATE}
        height = figure["layout"]["height"]
        named = [trace for trace in figure["data"] if "name" in trace]
        place = f'id="plot-{name}" role="img" aria-label="{escape(says)}" style="height:{height}px"'
        return (
            f'<figure class="card{" wide" if wide else ""}"><h3>{title}</h3>{legend(named)}'
            f'<div class="plot" {place}></div>'
            f"<figcaption><strong>{escape(says)}</strong> {caption}</figcaption>{links(name, figure, title)}</figure>"
        )


def legend(traces: Sequence[dict[str, Any]]) -> str:
    """The names of the traces in their colours, as wrapping text; empty without names."""
    entries = "".join(
        f'<li style="--tone:{tone(trace["marker"]["color"])}">{escape(trace["name"])}</li>' for trace in traces
    )
    return f'<ul class="legend">{entries}</ul>' if entries else ""


def tone(colour: str) -> str:
    """A plot's colour in either theme, as CSS."""
    return f"light-dark({colour}, {THEME[colour]})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), *, fit: bool = False) -> str:
    """A table; the cells are HTML. `fit`: as narrow as its content."""

    def line(cells: Sequence[str], tag: str) -> str:
        marks = ((' class="n"' if i in numeric else "") for i in range(len(cells)))
        return "".join(f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, cells, strict=True))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    top = f"<thead><tr>{line(head, 'th')}</tr></thead>" if head else ""
    return f'<div class="scroll{" fit" if fit else ""}"><table>{top}<tbody>{body}</tbody></table></div>'


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their values, as HTML; empty without rows."""
    entries = list(rows)
    return table((), entries, fit=True) if entries else ""


def card(value: str, name: str, caption: str) -> str:
    """A headline number; all three are plain text."""
    return f"<li><span>{escape(name)}</span><strong>{escape(value)}</strong><small>{escape(caption)}</small></li>"


def percent(share: float) -> str:
    """A share for people."""
    return f"{100 * share:.1f}{UNBROKEN}%".replace(f".0{UNBROKEN}", UNBROKEN)


def counted(n: int, what: str) -> str:
    """A number of things."""
    return f"{number(n)} {what}{'' if n == 1 else 's'}"


def by_timing(speech: Speech) -> list[str]:
    """Number of words by the origin of their times; plain text."""
    return [f"{number(n)} {timing}" for timing, n in sorted(speech.timings.items(), key=lambda t: (-t[1], t[0]))]
