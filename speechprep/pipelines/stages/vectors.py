"""vectors: pooled -> vectors, memory-mapped arrays of teacher vectors with an index.

Reads all of `pooled`. Writes the artifact `vectors`:

- `mean.npy` and `mean_all.npy`, (rows, dim) float32 (or float16), for `numpy.load(file, mmap_mode="r")`
- `index.parquet`: id, row, n_valid

Row i belongs to the i-th id in the order of Unicode code points, so the bytes do not depend on the shards of `pooled`.
Memory holds the ids; the arrays are written through memory maps. The facts of `pooled` (extractor, frame grid, mean
and standard deviation) are facts of the arrays too.

Rejected: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import shards
from speechprep.artifacts.vectors import ARRAYS, INDEX, INDEX_SCHEMA
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage, StageConfig

ROWS = 1024  # rows copied at a time; no result depends on it
COPIED_FACTS = ("backend", "extractor", "grid", "dim", "mean", "std")


class Config(StageConfig):
    """Options of `vectors`."""

    dtype: Literal["float32", "float16"] = Field(
        "float32", description="number format of the arrays; float16 takes half of the disk and has 11 significant bits"
    )


def run(ctx: ShardContext) -> None:
    """Order of the ids, arrays, index."""
    columns = list(ctx.batches("pooled", ["id", "n_valid"], ROWS))
    ids = pa.chunked_array([batch.column("id") for batch in columns], pa.string()).combine_chunks()
    n_valid = pa.chunked_array([batch.column("n_valid") for batch in columns], pa.int32()).combine_chunks()
    order = pc.array_sort_indices(ids)
    row_of = np.empty(len(ids), np.int64)
    row_of[order.to_numpy()] = np.arange(len(ids))
    earlier = ctx.work.inputs["pooled"].manifest.extra
    for name in ARRAYS:
        _write_array(ctx, name, row_of, earlier["dim"])
    with shards.ShardWriter(str(ctx.out / INDEX), INDEX_SCHEMA) as writer:
        numbers = pa.array(np.arange(len(ids)))
        index = [ids.take(order), numbers, n_valid.take(order)]
        writer.write(pa.RecordBatch.from_arrays(index, schema=INDEX_SCHEMA))
    ctx.facts.update({name: earlier.get(name) for name in COPIED_FACTS})
    ctx.facts["rows"] = len(ids)
    ctx.done(utterances=len(ids), seconds=ctx.total("pooled")["seconds"])


def _write_array(ctx: ShardContext, name: str, row_of: NDArray[np.int64], dim: int) -> None:
    path, shape = ctx.out / f"{name}.npy", (len(row_of), dim)
    if not len(row_of):
        np.save(path, np.zeros(shape, ctx.config.dtype))
        return
    array = np.lib.format.open_memmap(path, "w+", np.dtype(ctx.config.dtype), shape)
    for first, block in blocks(ctx.batches("pooled", [name], ROWS), name, dim):
        with np.errstate(over="ignore"):
            converted = block.astype(ctx.config.dtype)
        if np.isinf(converted).any() and not np.isinf(block).any():
            raise ConfigError(f"dtype float16: {name} has values up to {np.abs(block).max():g}; choose float32")
        array[row_of[first : first + len(block)]] = converted
    array.flush()


def blocks(batches: Iterator[pa.RecordBatch], name: str, dim: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first row, vectors (some, dim)) of a column of `pooled`.

    Raises:
        StaleArtifact: a vector of another dimension.
    """
    first = 0
    for batch in batches:
        column = batch.column(name)
        if pc.any(pc.not_equal(pc.list_value_length(column), dim)).as_py():
            raise StaleArtifact(f"vectors: a row of pooled has not {dim} values in {name}; run pool again")
        yield first, column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), dim)
        first += len(column)


STAGE = Stage(
    name="vectors",
    version=1,
    reads=(Read("pooled", "pooled", sharded=False),),
    writes="vectors",
    config=Config,
    run=run,
    schema=None,
    help="Write pooled vectors as memory-mapped arrays with an index of the ids, for trainers.",
    examples=("speechprep vectors --input run/pooled --out run/vectors",),
)
