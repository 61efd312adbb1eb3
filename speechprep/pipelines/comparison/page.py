"""The page of a comparison of codebooks: one table, and one plot for each figure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from speechprep.artifacts import storage
from speechprep.pipelines.comparison.codebooks import Compared
from speechprep.pipelines.report import figures
from speechprep.pipelines.report.document import document
from speechprep.pipelines.report.page import Page, table

FIGURES = {  # attribute -> title, axis, caption
    "purity": ("Purity", "purity", "Fraction of the frames with the most frequent phone of their unit."),
    "pnmi": ("PNMI", "PNMI", "Information of the unit about the phone, divided by the entropy of the phones."),
    "abx_within": ("ABX within speakers", "error rate", "Lower is better; chance is 0.5."),
    "abx_across": ("ABX across speakers", "error rate", "Lower is better; chance is 0.5."),
    "kept": ("Shift test", "share of units kept", "Smallest share of units that stay after noise before the speech."),
    "bits_per_second": ("Bitrate", "bits/s", "Frame rate times log2 of the perplexity."),
    "tokens_per_second": ("Tokens", "tokens/s", "Subword tokens for one second of speech."),
}
HEAD = ("codebook", "frames", "units", *(title for title, _, _ in FIGURES.values()))


def cells(row: Compared) -> tuple[str, ...]:
    """Text of a row of the table, in the order of `HEAD`; empty for an unknown figure."""
    values = [getattr(row, name) for name in FIGURES]
    wide = ("bits_per_second", "tokens_per_second")
    digits = [1 if name in wide else 3 for name in FIGURES]
    texts = ("" if value is None else f"{value:.{n}f}" for value, n in zip(values, digits, strict=True))
    return row.codebook, row.extractor, f"{row.k:,}", *texts


def render(rows: Sequence[Compared]) -> str:
    """The page as HTML; the same figures give the same bytes."""
    page = Page()
    names = [row.codebook for row in rows]
    plots = []
    for name, (title, axis, caption) in FIGURES.items():
        values: list[float | None] = [getattr(row, name) for row in rows]
        known = [(value, codebook) for value, codebook in zip(values, names, strict=True) if value is not None]
        if known:
            (low, first), (high, last) = min(known), max(known)
            says = f"From {low:.3g} ({first}) to {high:.3g} ({last})."
            plots.append(
                page.figure(name.replace("_", "-"), title, figures.measure(names, values, axis), caption, says)
            )
    body = table(HEAD, [[escape(cell) for cell in cells(row)] for row in rows], range(2, len(HEAD)))
    page.section("codebooks", "Codebooks", [body, f'<div class="grid">{"".join(plots)}</div>'])
    return document(page, title="Comparison of codebooks", footer="Made with speechprep.")


def write(rows: Sequence[Compared], uri: str) -> None:
    """Write the page to a file."""
    storage.write_bytes(uri, render(rows).encode())
