"""Quality of an index: measures of the stage `index` on the rows of the index, stored with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.index import SCORE_NOISE, VectorIndex, exact_scores, recall
from speechprep.pipelines.backends import Embedder

PROBES = 1000  # evenly spaced items for the measurement of recall and self-retrieval
NEIGHBOURS = 10
LOW_RECALL = 0.9  # below, `index` warns

F32 = NDArray[np.float32]
Blocks = Callable[[], Iterator[F32]]


def measure(index: VectorIndex, embedder: Embedder, blocks: Blocks) -> dict[str, float]:
    """Recall against exact search, and self-retrieval by the items' texts, over up to `PROBES` items."""
    probed = _probes(index)
    if not len(probed):
        return {"probes": 0}
    items = index.items.take(probed).to_pylist()
    return _measures(index, embedder.embed_text([item["caption"] for item in items]), blocks)


def measure_sounds(index: VectorIndex, embedder: Embedder, blocks: Blocks) -> dict[str, float]:
    """Recall and self-retrieval by the items' vectors, and the share of captions with their item among the results."""
    probed = _probes(index)
    if not len(probed):
        return {"probes": 0}
    measures = _measures(index, _rows_of(blocks(), probed), blocks)
    items = [item for item in index.items.take(probed).to_pylist() if item["caption"]]
    if items:
        results = index.search(embedder.embed_text([item["caption"] for item in items]), NEIGHBOURS)
        for first in (1, NEIGHBOURS):
            matches = [item["id"] in {h.id for h in hits[:first]} for item, hits in zip(items, results, strict=True)]
            measures[f"caption_finds_own_at_{first}"] = round(sum(matches) / len(matches), 6)
    return measures


def _probes(index: VectorIndex) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, len(index) - 1, min(PROBES, len(index))).astype(np.int64))


def _rows_of(blocks: Iterator[F32], places: NDArray[np.int64]) -> F32:
    first, taken = 0, []
    for block in blocks:
        taken.append(block[places[(places >= first) & (places < first + len(block))] - first])
        first += len(block)
    return np.concatenate(taken)


def _measures(index: VectorIndex, queries: F32, blocks: Blocks) -> dict[str, float]:
    results = index.search(queries, NEIGHBOURS)
    # Unit vectors: a first hit with the score of the item itself is the item, or an equal one for the embedder.
    self_scores = np.einsum("ij,ij->i", queries, queries)
    first = [
        bool(hits) and hits[0].score >= score - SCORE_NOISE for hits, score in zip(results, self_scores, strict=True)
    ]
    return {
        f"recall_at_{NEIGHBOURS}": round(recall(results, exact_scores(blocks(), queries, NEIGHBOURS)), 6),
        "self_retrieval_at_1": round(sum(first) / len(first), 6),
        "probes": len(first),
    }


def warning(facts: dict[str, Any]) -> str:
    """Warning for a low recall of an approximate index."""
    recall = facts.get(f"recall_at_{NEIGHBOURS}")
    if recall is None or recall >= LOW_RECALL:
        return ""
    return (
        f"the index finds {recall:.0%} of the {NEIGHBOURS} nearest items of exact search; set factory=Flat for an "
        "exact index, or fewer cells"
    )
