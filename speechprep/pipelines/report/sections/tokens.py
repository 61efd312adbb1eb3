"""Section "Tokens": token rows by kind, and the packed rows by modality."""

from __future__ import annotations

from html import escape

from speechprep.artifacts.run import Run
from speechprep.pipelines.report import figures
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page, counted, percent
from speechprep.pipelines.report.plots.style import number


def section(page: Page, run: Run, facts: Facts) -> None:
    """Content of the training data."""
    body, vocabulary = [], run.facts("subword")
    if facts.tokens and any(kind.tokens for kind in facts.tokens.values()):
        total = sum(kind.tokens for kind in facts.tokens.values())
        rows = sum(kind.rows for kind in facts.tokens.values())
        caption = "One bar for each kind of row. Markers are the tokens between the spans."
        says = f"{counted(total, 'token')} in {counted(rows, 'row')} of {counted(len(facts.tokens), 'kind')}."
        body.append(page.figure("mixture", "Rows by kind", figures.mixture(facts.tokens), caption, says))
    if facts.packed and facts.packed.rows:
        packed = facts.packed
        figure = figures.packed_mixture(packed, _modality_names())
        named = [(_modality_names().get(which, str(which)), n) for which, n in sorted(packed.modality.items())]
        shares = ", ".join(f"{percent(n / packed.tokens)} {name}" for name, n in named)
        says = f"{percent(packed.fill)} of the positions hold a token: {shares}."
        caption = "What a trainer reads: rows of one length, by modality; the rest is padding."
        body.append(page.figure("packed", "Packed for training", figure, caption, says))
    ranges, lead = vocabulary.get("ranges") or {}, ""
    if ranges:
        parts = ", ".join(f"{number(stop - start)} {escape(name)}" for name, (start, stop) in ranges.items())
        lead = f"The vocabulary has {number(vocabulary.get('size') or 0)} tokens: {parts}."
    page.section("tokens", "Tokens", [f'<div class="grid">{"".join(body)}</div>' if body else ""], lead)


def _modality_names() -> dict[int, str]:
    """Code of a modality id -> its name."""
    from speechprep.tokenizers.subword.vocabulary import MODALITIES

    return {code: name for name, code in MODALITIES.items()}
