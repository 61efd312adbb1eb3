"""Reading the folders of a run: `open_run(folder)["words"].batches(["id", "text"])`.

Only manifests are read at first. A folder without `_manifest.json` is incomplete and is not a dataset of the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts import manifest, shards, storage
from speechprep.artifacts.datasets import kinds
from speechprep.errors import StaleArtifact

ROWS = 2048  # rows of a batch
REJECTS = "_rejects"
EARLIER_REJECTS = "rejects"  # of folders of earlier versions
EARLIER_CARD = "README.md"
EARLIER_FILES = (manifest.EARLIER_NAME, EARLIER_REJECTS, EARLIER_CARD)
_CARD_MARK = b"Made by the stage `"  # in each dataset card; a file without it belongs to the user
RECORD = "run.json"


@dataclass(frozen=True)
class Dataset:
    """One complete dataset or artifact.

    Attributes:
        kind: see `artifacts.datasets`.
        uri: of the folder.
        manifest: of the folder.
    """

    kind: str
    uri: str
    manifest: manifest.Manifest

    @cached_property
    def shards(self) -> list[str]:
        """Names of the Parquet shards, in order."""
        return shards.shard_names([shard.name for shard in self.manifest.shards])

    @cached_property
    def shard_set(self) -> frozenset[str]:
        """Names of the Parquet shards, for tests of membership."""
        return frozenset(self.shards)

    @property
    def extra(self) -> dict[str, Any]:
        """Facts recorded by the stage in the manifest."""
        return self.manifest.extra

    @property
    def rows(self) -> int:
        """Rows of all Parquet shards, from their footers: the manifest of an artifact does not count them."""
        total = 0
        for name in self.shards:
            with shards.opened(storage.join(self.uri, name)) as shard:
                total += shard.metadata.num_rows
        return total

    @property
    def schema(self) -> pa.Schema | None:
        """Schema of the shards; None without shards."""
        names = self.shards
        return shards.read_schema(storage.join(self.uri, names[0])) if names else None

    def batches(
        self, columns: Sequence[str] | None = None, shard: str | None = None, rows: int = ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Rows in order.

        Args:
            columns: names, or Parquet paths such as "words.list.element.text"; None: all columns.
            shard: name of the only shard to read; None: all shards.
            rows: largest number of rows of a batch.
        """
        for name in self.shards if shard is None else [shard]:
            yield from shards.read_batches(storage.join(self.uri, name), columns, rows)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Rows as dicts, in order."""
        for batch in self.batches(columns):
            yield from batch.to_pylist()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows at once.

        Raises:
            StaleArtifact: the folder has no shards.
        """
        schema = self.schema
        if schema is None:
            raise StaleArtifact(f"{self.uri} is an artifact of kind {self.kind!r}: it has no rows")
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        return pa.Table.from_batches(list(self.batches(columns)), schema=schema)

    def find(self, id: str, shard: str | None = None) -> dict[str, Any] | None:
        """The row with an id, None if there is none.

        Args:
            id: of the row.
            shard: name of the shard to search first.
        """
        for name in sorted(self.shards, key=lambda name: name != shard):
            with shards.opened(storage.join(self.uri, name)) as parquet:
                for group in range(parquet.num_row_groups):  # embedded audio makes a shard too large to read at once
                    at = pc.index(parquet.read_row_group(group, columns=["id"]).column("id"), id).as_py()
                    if at >= 0:
                        row: dict[str, Any] = parquet.read_row_group(group).slice(at, 1).to_pylist()[0]
                        return row
        return None

    def path(self, local: Path) -> Path:
        """Local folder of the files: the folder itself, or a copy of a remote one below `local`."""
        return storage.fetch_folder(self.uri, local / self.kind)

    @property
    def reject_shards(self) -> list[str]:
        """Names of the shards of the rejects, in order."""
        return shards.shard_names(list(storage.sizes(rejects_folder(self.uri))))

    def rejects(self, columns: Sequence[str] | None = None, shard: str | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of the rejects, in order."""
        for name in self.reject_shards if shard is None else [shard]:
            yield from shards.read_batches(storage.join(rejects_folder(self.uri), name), columns, ROWS)


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        uri: of the folder.
        datasets: kind -> dataset, in the order of the chain.
        incomplete: names of unfinished folders.
        record: `run.json`; empty if it is absent.
    """

    uri: str
    datasets: dict[str, Dataset]
    incomplete: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)

    def __contains__(self, kind: object) -> bool:
        return kind in self.datasets

    def __getitem__(self, kind: str) -> Dataset:
        """The dataset of a kind.

        Raises:
            StaleArtifact: the run has none; the message lists its kinds.
        """
        if kind not in self.datasets:
            listed = ", ".join(self.datasets) or "nothing complete"
            raise StaleArtifact(f"{self.uri} has no {kind!r}; it has: {listed}. Run the stage that writes {kind!r}")
        return self.datasets[kind]

    def get(self, kind: str) -> Dataset | None:
        """The dataset of a kind, None if the run has none."""
        return self.datasets.get(kind)

    def kinds(self) -> list[str]:
        """Kinds of the run, in the order of the chain."""
        return list(self.datasets)

    def facts(self, kind: str) -> dict[str, Any]:
        """`extra` of the manifest of a kind; empty if the run has none."""
        return self.datasets[kind].extra if kind in self.datasets else {}

    def transcripts(self, source: Literal["aligned", "corpus"] = "aligned") -> Iterator[tuple[str, str]]:
        """(id, text) of the utterances with a transcript, in order.

        Rows with `kept` false are left out. A run without `words` has the transcripts of its corpus.

        Args:
            source: "aligned" for the aligned text, "corpus" for the text of the corpus.

        Raises:
            StaleArtifact: the run has neither `words` nor `utterances`.
        """
        if "words" not in self:
            for batch in self["utterances"].batches(["id", "text"]):
                yield from _texts(batch, "text")
            return
        column = "text" if source == "aligned" else "source_text"
        for batch in self["words"].batches(["id", column, "kept"]):
            yield from _texts(batch.filter(batch.column("kept").fill_null(fill_value=True)), column)


def _texts(batch: pa.RecordBatch, column: str) -> Iterator[tuple[str, str]]:
    pairs = zip(batch.column("id").to_pylist(), batch.column(column).to_pylist(), strict=True)
    yield from ((id, text) for id, text in pairs if text is not None)


def rejects_folder(folder: str) -> str:
    """URI of the rejects of a dataset: `_rejects`, or `rejects` in a folder of an earlier version."""
    present, earlier = storage.join(folder, REJECTS), storage.join(folder, EARLIER_REJECTS)
    return earlier if storage.is_dir(earlier) and not storage.is_dir(present) else present


def move_to_layout(folder: str) -> None:
    """Move the rejects of a folder of an earlier version to `_rejects`, and remove its manifest and dataset card.

    The folder is then unfinished, so that its shards are checked and its manifest is written again.
    """
    earlier = storage.join(folder, EARLIER_REJECTS)
    if not storage.exists(storage.join(folder, manifest.EARLIER_NAME)) and not storage.is_dir(earlier):
        return
    for name in storage.sizes(earlier):
        rejects = storage.read_bytes(storage.join(earlier, name))
        storage.write_bytes(storage.join(folder, REJECTS, name), rejects, flush=True)
    remove_earlier_files(folder)


def remove_earlier_files(folder: str) -> None:
    """Remove what only earlier versions wrote: manifest, rejects and dataset card. Files of the user stay."""
    card, rejects = storage.join(folder, EARLIER_CARD), storage.join(folder, EARLIER_REJECTS)
    storage.remove(storage.join(folder, manifest.EARLIER_NAME))
    for name in shards.shard_names(list(storage.sizes(rejects))):
        storage.remove(storage.join(rejects, name))
    if not storage.sizes(rejects) and not storage.folders(rejects):
        storage.remove(rejects)
    if storage.exists(card) and _CARD_MARK in storage.read_bytes(card):
        storage.remove(card)


def open_dataset(folder: str) -> Dataset:
    """One complete dataset or artifact folder.

    Raises:
        StaleArtifact: the folder is incomplete.
    """
    stored = manifest.read(folder)
    return Dataset(stored.kind, folder, stored)


def open_run(folder: str) -> Run:
    """A local or remote run folder, or the folder of one dataset as a run of its own.

    The kind of a folder is in its manifest. Of two folders of one kind, the one named by the kind is taken, else
    the first by name.
    """
    single = manifest.find(folder)
    if single is not None:
        return Run(folder, {single.kind: Dataset(single.kind, folder, single)})
    order = list(kinds())
    datasets: dict[str, Dataset] = {}
    incomplete = []
    for name in sorted(storage.folders(folder), key=lambda name: (name not in order, name)):
        uri = storage.join(folder, name)
        stored = manifest.find(uri)
        if stored is not None:
            datasets.setdefault(stored.kind, Dataset(stored.kind, uri, stored))
        elif name in order:
            incomplete.append(name)
    ordered = sorted(datasets, key=lambda kind: order.index(kind) if kind in order else len(order))
    return Run(folder, {kind: datasets[kind] for kind in ordered}, tuple(incomplete), run_record(folder))


def words_and_utterances(source: str) -> tuple[Dataset, Dataset | None]:
    """The `words` of a run folder or of a folder of words, and the `utterances` of the same run folder, if any.

    Raises:
        StaleArtifact: no complete `words` there.
    """
    run = open_run(source)
    words = run["words"]
    if storage.absolute(words.uri) == storage.absolute(source):
        run = open_run(storage.parent(source))
    return words, run.get("utterances")


def run_record(folder: str) -> dict[str, Any]:
    """`run.json` of a run folder; empty if it is absent or damaged."""
    uri = storage.join(folder, RECORD)
    try:
        record = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else {}
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
