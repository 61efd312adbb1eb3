"""A FAISS index over unit vectors with the ids, captions and audio of its items, in a folder.

    index.faiss       inner product, item i is row i of items.parquet
    items.parquet     id, audio (URI or null), caption (or null), t0, t1 (seconds; the part of the item behind the
                      vector), sound (digest of this part of the audio, or null)

Nothing is pickled. FAISS parses `index.faiss` in C++ without checks against crafted files: open only indices from a
trusted source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from speechprep.errors import ConfigError, MissingBackend, SchemaMismatch, StaleArtifact

INDEX = "index.faiss"
ITEMS = "items.parquet"
ITEMS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("audio", pa.string()),
        ("caption", pa.string()),
        ("t0", pa.float64()),
        ("t1", pa.float64()),
        ("sound", pa.string()),
    ]
)
AUTO = "auto"
EXACT_UP_TO = 200_000  # vectors; a query of 512 values against so many takes some 20 ms on one core
GRAPH_UP_TO = 1_000_000  # one thread builds an HNSW graph: its links depend on the order of insertion
PROBED = 16  # an IVF index looks into one cell in so many
BEAM = 128  # candidates kept by a search in an HNSW graph
TRAINING = 200_000  # most training vectors of an approximate index
SCORE_NOISE = 1e-5  # of a cosine in float32

F32 = NDArray[np.float32]


class Hit(NamedTuple):
    """A search result: the score is the cosine with the query; `t0` to `t1` is the similar part, in seconds."""

    id: str
    score: float
    caption: str | None
    audio: str | None
    t0: float | None = None
    t1: float | None = None


def factory_for(rows: int) -> str:
    """FAISS's name of the kind of index for so many vectors: exact, then a graph, then cells (4 root n of them)."""
    if rows <= EXACT_UP_TO:
        return "Flat"
    if rows <= GRAPH_UP_TO:
        return "HNSW32"
    return f"IVF{1 << round(math.log2(4 * rows**0.5))},Flat"


def require_faiss(what: str) -> Any:
    """The module `faiss`.

    Raises:
        MissingBackend: neither of its two packages is installed.
    """
    try:
        import faiss
    except ImportError:
        raise MissingBackend(
            f"{what} needs FAISS; install one of its two packages, never both: "
            "pip install 'speechprep[cpu]' or, with an NVIDIA GPU, pip install 'speechprep[gpu]'"
        ) from None
    return faiss


class VectorIndex:
    """Unit vectors and their items. Build it with `build`, or `load` a folder."""

    def __init__(self, index: Any, items: pa.Table) -> None:
        self.index = index
        self.items = items

    @classmethod
    def build(
        cls, dim: int, blocks: Callable[[], Iterable[F32]], items: pa.Table, factory: str = "Flat"
    ) -> VectorIndex:
        """Index unit vectors.

        Args:
            dim: of a vector.
            blocks: gives the vectors, (some, dim) float32 at a time, each time it is called.
            items: a row of `ITEMS_SCHEMA` for each vector.
            factory: FAISS's name of a kind of index; "Flat" is exact, "HNSW32" or "IVF1024,Flat" approximate; "auto"
                is `factory_for` the number of items.

        Raises:
            ConfigError: FAISS does not know the kind, or cannot train it with so few vectors.
            SchemaMismatch: not as many vectors as items.
        """
        faiss = require_faiss("a retrieval index")
        factory = factory_for(items.num_rows) if factory == AUTO else factory
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # the links of an HNSW graph depend on the order of threads
        try:
            index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
            _search_wide(index)
            if not index.is_trained:
                index.train(_first(blocks(), TRAINING, dim))
            for block in blocks():
                index.add(block)
        except RuntimeError as error:
            raise ConfigError(f"index kind {factory!r} over {items.num_rows} vectors: {_last_line(error)}") from None
        finally:
            faiss.omp_set_num_threads(threads)
        if index.ntotal != items.num_rows:
            raise SchemaMismatch(f"{index.ntotal} vectors for {items.num_rows} items")
        return cls(index, items)

    def search(self, queries: F32, k: int) -> list[list[Hit]]:
        """The `k` nearest items of each query (n, dim), best first, equal scores by item order.

        An IVF index looks into more cells until each query has `k` results.
        """
        if not len(self):
            return [[] for _ in queries]
        wanted, queries = min(k, len(self)), np.ascontiguousarray(queries, np.float32)
        scores, rows = self.index.search(queries, wanted)
        cells = _cells(self.index)
        if cells is not None and (rows < 0).any():
            before = cells.nprobe
            try:  # more cells for the queries with fewer results than asked for
                while (few := (rows < 0).any(axis=1)).any() and cells.nprobe < cells.nlist:
                    cells.nprobe = min(2 * cells.nprobe, cells.nlist)
                    scores[few], rows[few] = self.index.search(queries[few], wanted)
            finally:
                cells.nprobe = before
        return [self._hits(s, r) for s, r in zip(scores, rows, strict=True)]

    def _hits(self, scores: F32, rows: NDArray[np.int64]) -> list[Hit]:
        order = [i for i in np.lexsort((rows, -scores)) if rows[i] >= 0]  # -1: an approximate index returned fewer
        items = self.items.take(rows[order]).to_pylist()
        return [
            Hit(item["id"], float(scores[i]), item["caption"], item["audio"], item["t0"], item["t1"])
            for i, item in zip(order, items, strict=True)
        ]

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def save(self, folder: str | Path) -> None:
        """Write both files."""
        faiss = require_faiss("a retrieval index")
        faiss.write_index(self.index, str(Path(folder) / INDEX))
        pq.write_table(self.items, Path(folder) / ITEMS, compression="zstd", write_page_checksum=True)

    @classmethod
    def load(cls, folder: str | Path) -> VectorIndex:
        """Read a folder written by `save`.

        Raises:
            StaleArtifact: a file is missing, damaged, or the two do not belong together.
        """
        faiss = require_faiss("a retrieval index")
        where = Path(folder) / INDEX
        try:
            index = faiss.read_index(str(where))
            items = pq.read_table(Path(folder) / ITEMS, schema=ITEMS_SCHEMA, page_checksum_verification=True)
        except (RuntimeError, OSError, pa.ArrowInvalid) as error:
            raise StaleArtifact(f"{folder} is not a readable index ({_last_line(error)}); build it again") from None
        if index.ntotal != items.num_rows:
            raise StaleArtifact(f"{where} has {index.ntotal} vectors for {items.num_rows} items; build the index again")
        return cls(index, items)


def _cells(index: Any) -> Any:
    """The IVF part of an index, None without cells."""
    return require_faiss("a retrieval index").try_extract_index_ivf(index)


def _search_wide(index: Any) -> None:
    """Set the width of the search in an approximate index; FAISS stores it in the file."""
    cells = _cells(index)
    if cells is not None:
        cells.nprobe = max(1, cells.nlist // PROBED)
    if hasattr(index, "hnsw"):
        index.hnsw.efSearch = BEAM


def exact_scores(blocks: Iterable[F32], queries: F32, k: int) -> F32:
    """The `k` largest inner products of each query with all vectors, largest first: (n_queries, <= k)."""
    best = np.empty((len(queries), 0), np.float32)
    for block in blocks:
        scores = np.concatenate([best, queries @ block.T], axis=1)
        best = -np.sort(-scores, axis=1)[:, :k]
    return best


def recall(results: list[list[Hit]], exact: F32) -> float:
    """Recall: share of the exact neighbours among the results, by score. Equal vectors replace each other."""
    if not exact.size:
        return 1.0
    hits: int = sum(
        min(sum(hit.score >= row[-1] - SCORE_NOISE for hit in row_hits), len(row))
        for row_hits, row in zip(results, exact, strict=True)
    )
    return float(hits / exact.size)


def _first(blocks: Iterable[F32], n: int, dim: int) -> F32:
    taken, rows = [np.empty((0, dim), np.float32)], 0
    for block in blocks:
        taken.append(block[: n - rows])
        rows += len(taken[-1])
        if rows >= n:
            break
    return np.concatenate(taken)


def _last_line(error: Exception) -> str:
    """Last line of a message: FAISS writes the place in its C++ source first and the reason last."""
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
