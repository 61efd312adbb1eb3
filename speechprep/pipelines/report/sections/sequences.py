"""Section "Token rows": an AST row and a CST row with the tokens coloured by modality."""

from __future__ import annotations

from html import escape

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page, counted
from speechprep.pipelines.report.rows import Part, TokenRow, choose_rows

_TITLES = {
    "ast": "AST: units and text alternate, each word once",
    "cst_ut": "CST: the units of the utterance, then its text",
    "cst_tu": "CST: the text of the utterance, then its units",
}
_LEGEND = (
    '<ul class="legend"><li style="--tone:var(--text)">text tokens</li>'
    '<li style="--tone:var(--speech)">unit tokens</li>'
    '<li style="--tone:var(--given)">markers: start, end and switch of the modality</li></ul>'
)


def section(page: Page, run: Run, facts: Facts) -> None:
    """One row of each kind."""
    rows = choose_rows(run)
    lead = (
        "What a model reads, token by token. A text token is a piece of a word, and \u2581 is the start of a word. A "
        "unit token is one or more units, given by their numbers. Below each span: its time, and the words of its "
        "units."
    )
    page.section("rows", "Token rows", [_LEGEND, *map(_row, rows)] if rows else [], lead)


def _row(row: TokenRow) -> str:
    more = f" {row.hidden:,} more are left out." if row.hidden else ""
    title = escape(_TITLES.get(row.kind, row.kind))
    return (
        f'<article class="utterance"><header><h3>{title}</h3><code>{escape(row.id)}</code>'
        f"<span>{counted(row.tokens, 'token')}.{more}</span></header>"
        f'<div class="tokens">{"".join(map(_part, row.parts))}</div></article>'
    )


def _part(part: Part) -> str:
    tokens = "".join(f"<b>{escape(token)}</b>" for token in part.tokens)
    caption = "" if part.times is None else f"{part.times[0]:.2f}\u2013{part.times[1]:.2f} s"
    words = f" <q>{escape(part.words)}</q>" if part.words else ""
    modality = part.modality if part.modality in ("unit", "text") else "switch"
    below = f"<small>{caption}{words}</small>" if caption else ""
    return f'<span class="{modality}" dir="auto"><span>{tokens}</span>{below}</span>'
