"""Self-retrieval of the embeddings of a run: exact search for some rows among all rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.run import Dataset

QUERIES = 64
_ROWS = 200_000  # most rows to search: the report of a large corpus stays quick
_NEIGHBOURS = 4  # the row itself, and three others
_TIE = 1e-5


@dataclass(frozen=True)
class Retrieval:
    """Exact search of some rows among all.

    Attributes:
        rows: of the dataset; the first `searched` of them are searched.
        dim: of a vector.
        queries: number of query rows; `self_found` of them are their own first result, or tied with an equal vector.
        example: a caption and its nearest other rows, (cosine, id, caption): the query with the nearest neighbours.
    """

    rows: int
    searched: int
    dim: int
    queries: int
    self_found: int
    example: tuple[str, list[tuple[float, str, str]]] | None


def measure(folder: Dataset) -> Retrieval | None:
    """Search for evenly spaced rows of a folder with vectors; None without rows. Three streaming passes."""
    rows = folder.rows
    searched = min(rows, _ROWS)
    if not searched:
        return None
    places = np.unique(np.linspace(0, searched - 1, min(QUERIES, searched)).astype(np.int64))
    queries = np.concatenate([vectors for _, vectors in _blocks(folder, searched, places)])
    best = np.full((len(places), _NEIGHBOURS), -np.inf, np.float32)
    where = np.full((len(places), _NEIGHBOURS), -1, np.int64)
    for first, vectors in _blocks(folder, searched):
        here = np.broadcast_to(np.arange(first, first + len(vectors)), (len(places), len(vectors)))
        scores = np.concatenate([best, queries @ vectors.T], axis=1)
        top = np.argsort(-scores, axis=1, kind="stable")[:, :_NEIGHBOURS]
        where = np.take_along_axis(np.concatenate([where, here], axis=1), top, 1)
        best = np.take_along_axis(scores, top, 1)
    norms = np.einsum("ij,ij->i", queries, queries)
    alive = norms > 0  # a caption without a known word has no direction
    self_found = int((alive & (norms >= best[:, 0] - _TIE)).sum())
    example = None
    if alive.any():
        query = int(np.argmax(np.where(alive, best[:, -1], -np.inf)))
        example = _example(folder, int(places[query]), where[query], best[query])
    return Retrieval(rows, searched, queries.shape[1], int(alive.sum()), self_found, example)


def _blocks(
    folder: Dataset, limit: int, places: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first row, vectors) of each batch of the first `limit` rows; with `places`, only these rows."""
    first = 0
    for batch in folder.batches(["vector"]):
        if first >= limit:
            return
        column = batch.column("vector")
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)[: limit - first]
        if places is None:
            yield first, vectors
        else:
            yield first, vectors[places[(places >= first) & (places < first + len(vectors))] - first]
        first += len(column)


def _example(
    folder: Dataset, query: int, places: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[str, list[tuple[float, str, str]]]:
    wanted = {query, *(int(place) for place in places if place >= 0)}
    rows: dict[int, tuple[str, str]] = {}
    first = 0
    for batch in folder.batches(["id", "caption"]):
        for place in sorted(wanted):
            if first <= place < first + batch.num_rows:
                ident, caption = (batch.column(name)[place - first].as_py() for name in ("id", "caption"))
                rows[place] = (ident or "", caption or "")
        first += batch.num_rows
        if first > max(wanted):
            break
    others = [(float(s), *rows[int(p)]) for p, s in zip(places, scores, strict=True) if p >= 0 and p != query]
    ident, caption = rows[query]
    return caption or ident, others[: _NEIGHBOURS - 1]
