"""Section "Retrieval index": size of the index, and retrieval of its own items."""

from __future__ import annotations

from html import escape
from typing import Any

from speechprep.artifacts.run import Run
from speechprep.pipelines.report.facts import Facts
from speechprep.pipelines.report.page import Page, facts_table, percent, table
from speechprep.pipelines.report.plots.style import number
from speechprep.pipelines.report.retrieval import measure

_INDEX_FACTS = {
    "kind": "kind",
    "metric": "measure",
    "recall_at_10": "of the ten nearest by exact search, found",
    "self_retrieval_at_1": "items that their own text finds first",
    "probes": "items asked for",
}


def section(page: Page, run: Run, facts: Facts) -> None:
    """The retrieval index: its size, and retrieval of its own items."""
    embeddings = run.get("embeddings") or run.get("index")
    retrieval = measure(embeddings) if embeddings else None
    quality = run.facts("index")
    rows: list[tuple[str, str]] = []
    if retrieval:
        rows.append(("items", f"{number(retrieval.rows)}, vectors of {retrieval.dim} dimensions"))
        if retrieval.queries and "self_retrieval_at_1" not in quality:
            among = f", among the first {number(retrieval.searched)}" if retrieval.searched < retrieval.rows else ""
            rows.append(
                ("their own vector finds first", f"{retrieval.self_found} of {retrieval.queries} asked for{among}")
            )
    rows += [(name, escape(_plain(quality[key]))) for key, name in _INDEX_FACTS.items() if key in quality]
    body = [facts_table(rows)]
    if retrieval and retrieval.example and retrieval.example[1]:
        caption, others = retrieval.example
        body.append(f'<p class="lead">For example, nearest to <q>{escape(caption)}</q>, itself left out:</p>')
        neighbours = [
            (f"{cosine:.3f}", f"<code>{escape(ident)}</code>", escape(text)) for cosine, ident, text in others
        ]
        body.append(table(("cosine", "id", "caption"), neighbours, numeric=(0,)))
    page.section("index", "Retrieval index", body)


def _plain(value: Any) -> str:
    return percent(value) if isinstance(value, float) and 0 <= value <= 1 else str(value)
