"""Amounts of a task, and sums over its rows, its rejects and its inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.run import Dataset
from speechprep.pipelines.inspect.folders import CheckedFolder

ROWS = 4096


@dataclass
class Amounts:
    """Recomputed amounts of a task. None: an input is not beside the folder."""

    counters: dict[str, float | None] = field(default_factory=dict)
    seconds: float | None = 0.0
    licences: list[str] = field(default_factory=list)


def rejected_counts(folder: CheckedFolder, task: Iterable[Shard]) -> dict[str, float | None]:
    """Rejects of a task, in total and by code, from the files of rejects."""
    codes: Counter[str] = Counter()
    for shard in task:
        if shard.rejects:
            for batch in folder.dataset.rejects(["code"], folder.rejects_name(shard)):
                codes.update(batch.column("code").to_pylist())
    return {**{f"rejected.{code}": n for code, n in codes.items()}, "rejected": codes.total()}


def batches_of(dataset: Dataset, task: Iterable[Shard], columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Rows of some shards of a folder, or of the shards of the same names in an input."""
    for shard in task:
        if shard.name in dataset.shard_set:
            yield from dataset.batches(columns, shard.name, ROWS)


def ids_of(dataset: Dataset, task: Iterable[Shard]) -> pa.ChunkedArray:
    """Ids of some shards of a folder."""
    return pa.chunked_array([batch.column("id") for batch in batches_of(dataset, task, ["id"])], pa.string())


def total(values: pa.Array | pa.ChunkedArray) -> float:
    """Sum of the values, 0 without values."""
    summed: float = pc.sum(values, min_count=0).as_py()
    return summed


def list_items(batch: pa.RecordBatch, column: str) -> int:
    """Number of items in the lists of a column."""
    return int(total(pc.list_value_length(batch.column(column))))


def licences_of(folder: CheckedFolder, task: list[Shard]) -> list[str]:
    """Licences of the rows of some shards."""
    values: set[str] = set()
    for batch in batches_of(folder.dataset, task, ["licence"]):
        values.update(licence for licence in batch.column("licence").unique().to_pylist() if licence)
    return sorted(values)


def source_seconds(folder: CheckedFolder, task: list[Shard], role: str = "utterances") -> float | None:
    """Seconds of the utterances or clips behind the rows, from the input of this role."""
    utterances = folder.input(role)
    if utterances is None:
        return None
    ids, seconds = ids_of(folder.dataset, task), 0.0
    for batch in batches_of(utterances, task, ["id", "duration"]):
        seconds += total(batch.filter(pc.is_in(batch.column("id"), value_set=ids)).column("duration"))
    return seconds
