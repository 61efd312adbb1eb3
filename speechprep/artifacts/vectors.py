"""Artifact `vectors`: teacher vectors as memory-mapped arrays, with an index of the ids.

The folder holds `mean.npy` and `mean_all.npy`, both (rows, dim), and `index.parquet` with the columns id, row and
n_valid. Rows are in the order of the ids, by Unicode code point, so they do not depend on the shards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import open_run
from speechprep.errors import BadInput, StaleArtifact

ARRAYS = ("mean", "mean_all")
INDEX = "index.parquet"
INDEX_SCHEMA = pa.schema([("id", pa.string()), ("row", pa.int64()), ("n_valid", pa.int32())])


@dataclass(frozen=True)
class Vectors:
    """Teacher vectors of a corpus.

    Attributes:
        ids: (rows,) ids in ascending order; `ids[i]` belongs to row i.
        n_valid: (rows,) number of frames behind each mean.
        mean: (rows, dim) mean of the valid frames, memory-mapped.
        mean_all: (rows, dim) mean of all frames, with those of the padding, memory-mapped.
        centre: (dim,) mean of `mean` over the rows.
        scale: (dim,) standard deviation of `mean` over the rows (population).
        facts: entries of the manifest: extractor, frame grid, dim.
    """

    ids: pa.StringArray
    n_valid: NDArray[np.int32]
    mean: NDArray[Any]
    mean_all: NDArray[Any]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def load(cls, folder: Path) -> Vectors:
        """The artifact in a local folder. Vectors are read from the disk when they are used.

        Raises:
            StaleArtifact: the folder is incomplete, or is not of this kind.
        """
        stored = manifest.read(str(folder))
        if stored.kind != "vectors":
            raise StaleArtifact(f"{folder} is of kind {stored.kind!r}; choose a folder of kind 'vectors'")
        index = pq.read_table(folder / INDEX, page_checksum_verification=True).combine_chunks()
        mean, mean_all = (open_array(folder / f"{name}.npy") for name in ARRAYS)
        centre, scale = (np.array(stored.extra[name], np.float64) for name in ("mean", "std"))
        ids = index.column("id").combine_chunks()
        return cls(ids, index.column("n_valid").to_numpy(), mean, mean_all, centre, scale, stored.extra)

    def rows(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """(n,) row of each id.

        Raises:
            BadInput: `unknown_id`: an id without a vector.
        """
        wanted = pa.array(ids, pa.string())
        rows = pc.index_in(wanted, value_set=self.ids)
        if rows.null_count:
            missing = wanted.filter(pc.is_null(rows))
            raise BadInput("unknown_id", f"{len(missing)} ids have no vector, for example {missing[0].as_py()!r}")
        found: NDArray[np.int64] = rows.to_numpy().astype(np.int64)
        return found


def vectors(folder: str | Path) -> Vectors:
    """Teacher vectors of the stage `vectors`, as memory-mapped arrays with their ids.

    Args:
        folder: local run folder, or a local folder of kind `vectors`.

    Raises:
        StaleArtifact: the folder has no complete `vectors`.
    """
    return Vectors.load(storage.local_path(open_run(str(folder))["vectors"].uri))


def open_array(path: Path) -> NDArray[Any]:
    """A `.npy` file as a read-only memory map; an array without rows is read."""
    array: NDArray[Any] = np.load(path, mmap_mode=None if _is_empty(path) else "r")
    return array


def _is_empty(path: Path) -> bool:
    """True for an array without elements: an empty file region cannot be mapped."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return 0 in read_header(file)[0]
