"""What the report reads: the folders of a run, streamed.

A folder without `manifest.json` is incomplete and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechprep.artifacts import manifest, shards, storage

KINDS = (  # in the order in which a run makes them
    "utterances",
    "words",
    "sample",
    "codebook",
    "units",
    "subword",
    "vocabulary",
    "tokens",
    "packed",
    "pooled",
    "embeddings",
    "index",
)
_ROWS = 2048  # of a batch: numbers, never audio


@dataclass(frozen=True)
class Folder:
    """One complete dataset or artifact of a run.

    Attributes:
        name: its kind.
        uri: where it is.
        manifest: what it says of itself.
    """

    name: str
    uri: str
    manifest: manifest.Manifest

    @property
    def shards(self) -> list[str]:
        """Parquet file names in order."""
        return shards.shard_names([shard.name for shard in self.manifest.shards])

    @property
    def extra(self) -> dict[str, Any]:
        """The facts that the stage put beside the shards."""
        return self.manifest.extra

    @property
    def rows(self) -> int:
        """Rows of all Parquet shards, by their footers (an artifact's manifest does not count them)."""
        total = 0
        for name in self.shards:
            with storage.open(storage.join(self.uri, name)) as file, pq.ParquetFile(file) as shard:
                total += shard.metadata.num_rows
        return total

    def batches(self, columns: Sequence[str], shard: str | None = None) -> Iterator[pa.RecordBatch]:
        """The named columns of one shard or of all, a few thousand rows at a time."""
        for name in self.shards if shard is None else [shard]:
            yield from shards.read_batches(storage.join(self.uri, name), columns, _ROWS)

    @property
    def reject_shards(self) -> list[str]:
        """Names of the shards of `rejects/`, in order."""
        return shards.shard_names(list(storage.sizes(storage.join(self.uri, "rejects"))))

    def rejects(self, shard: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The named columns of one shard of `rejects/`."""
        yield from shards.read_batches(storage.join(self.uri, "rejects", shard), columns, _ROWS)

    def find(self, ident: str, shard: str) -> dict[str, Any] | None:
        """The row of an id: looked for in the shard of that name first, then in the others; None: not found."""
        names = [name for name in self.shards if name == shard] + [name for name in self.shards if name != shard]
        for name in names:
            with storage.open(storage.join(self.uri, name)) as file, pq.ParquetFile(file) as parquet:
                for group in range(parquet.num_row_groups):  # a group with embedded audio is large, a shard is larger
                    at = pc.index(parquet.read_row_group(group, columns=["id"]).column("id"), ident).as_py()
                    if at >= 0:
                        row: dict[str, Any] = parquet.read_row_group(group).slice(at, 1).to_pylist()[0]
                        return row
        return None


@dataclass(frozen=True)
class Run:
    """A run folder: its complete datasets and artifacts, and its `run.json` where there is one."""

    uri: str
    folders: dict[str, Folder]
    incomplete: tuple[str, ...]
    record: dict[str, Any]

    def get(self, name: str) -> Folder | None:
        """The folder of that name, None where the run has none."""
        return self.folders.get(name)

    def said(self, name: str) -> dict[str, Any]:
        """The facts in the manifest of that folder; empty where the run has none."""
        return self.folders[name].extra if name in self.folders else {}


def open_run(folder: str) -> Run:
    """Read the manifests below a local or remote run folder.

    Folders are known by the kind their manifest states; of two of one kind, the one called by its kind is taken, or
    else the first by name.
    """
    names = storage.folders(folder)
    found: dict[str, Folder] = {}
    incomplete = []
    for name in sorted(names, key=lambda name: (name not in KINDS, name)):
        uri = storage.join(folder, name)
        known = manifest.find(uri)
        if known is not None:
            found.setdefault(known.kind, Folder(known.kind, uri, known))
        elif name in KINDS:
            incomplete.append(name)
    where = storage.join(folder, "run.json")
    record = json.loads(storage.read_bytes(where)) if storage.exists(where) else {}
    in_order = {kind: found[kind] for kind in KINDS if kind in found}
    return Run(folder, in_order, tuple(incomplete), record if isinstance(record, dict) else {})
