"""How good an index is: what the stage `index` measures on its own rows and stores beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.index import SCORE_NOISE, VectorIndex, exact_scores, recall
from speechprep.pipelines.backends import Embedder

PROBES = 1000  # items that recall and self-retrieval are measured with, evenly spaced
NEIGHBOURS = 10

F32 = NDArray[np.float32]
Blocks = Callable[[], Iterator[F32]]


def measure(index: VectorIndex, embedder: Embedder, blocks: Blocks) -> dict[str, float]:
    """Recall against exact search, and self-retrieval by the items' texts, over up to `PROBES` items."""
    probed = _probes(index)
    if not len(probed):
        return {"probes": 0}
    asked = index.items.take(probed).to_pylist()
    return _measured(index, embedder.embed_text([item["caption"] for item in asked]), blocks)


def measure_sounds(index: VectorIndex, embedder: Embedder, blocks: Blocks) -> dict[str, float]:
    """The same by the items' own vectors, and how often a caption finds its own item."""
    probed = _probes(index)
    if not len(probed):
        return {"probes": 0}
    made = _measured(index, _rows_of(blocks(), probed), blocks)
    asked = [item for item in index.items.take(probed).to_pylist() if item["caption"]]
    if asked:
        found = index.search(embedder.embed_text([item["caption"] for item in asked]), NEIGHBOURS)
        for first in (1, NEIGHBOURS):
            own = [item["id"] in {h.id for h in hits[:first]} for item, hits in zip(asked, found, strict=True)]
            made[f"caption_finds_own_at_{first}"] = round(sum(own) / len(own), 6)
    return made


def _probes(index: VectorIndex) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, len(index) - 1, min(PROBES, len(index))).astype(np.int64))


def _rows_of(blocks: Iterator[F32], places: NDArray[np.int64]) -> F32:
    first, taken = 0, []
    for block in blocks:
        taken.append(block[places[(places >= first) & (places < first + len(block))] - first])
        first += len(block)
    return np.concatenate(taken)


def _measured(index: VectorIndex, queries: F32, blocks: Blocks) -> dict[str, float]:
    found = index.search(queries, NEIGHBOURS)
    # Unit vectors: a first hit with the score of the item itself is the item, or one that is the same to the embedder.
    own = np.einsum("ij,ij->i", queries, queries)
    first = [bool(hits) and hits[0].score >= score - SCORE_NOISE for hits, score in zip(found, own, strict=True)]
    return {
        f"recall_at_{NEIGHBOURS}": round(recall(found, exact_scores(blocks(), queries, NEIGHBOURS)), 6),
        "self_retrieval_at_1": round(sum(first) / len(first), 6),
        "probes": len(first),
    }
