"""A dataset folder for the reader: its row groups, their sizes from the footers alone, and reading of one group.

Only the footers of the shards are read, about a millisecond each. Problems of a folder are raised at this time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.manifest import Manifest
from speechprep.errors import ConfigError, SchemaMismatch, StaleArtifact
from speechprep.models.data import pages
from speechprep.models.data.codes import Codes
from speechprep.tokenizers.arrays.ragged import Ints

TOKENS_OF = "input_ids.list.element"
_WANTED = {
    "packed": {"input_ids": pa.int32(), "document_ids": pa.int32(), "modality_ids": pa.int8(), "ids": pa.string()},
    "tokens": {"id": None, "kind": None, "input_ids": pa.int32()},
}
_FOOTERS = 64


@dataclass
class Folder:
    """A complete folder of `packed` or `tokens`. Make it with `open_folder`; it may be sent to other processes.

    Attributes:
        made: its manifest.
        names: file names of the shards.
        shard, group: (n,) shard and row group in it; groups without rows are left out.
        rows: (n,) rows of each group.
        tokens: (n,) tokens of each group, padding included.
        first: (n,) rows of the folder before each group.
    """

    uri: str
    made: Manifest
    names: list[str]
    shard: NDArray[np.int32]
    group: NDArray[np.int32]
    rows: Ints
    tokens: Ints
    first: Ints
    _footers: dict[int, pq.FileMetaData] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """`packed` or `tokens`."""
        return self.made.kind

    def batches(self, number: int, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Columns of row group `number`, at most `rows` rows at a time: decoding so stays in the cache.

        Raises:
            StaleArtifact: the shard was removed or replaced since the opening.
        """
        group = int(self.group[number])
        with self._opened(number) as (f, about), pq.ParquetFile(f, metadata=about, pre_buffer=False) as file:
            yield from file.iter_batches(rows, row_groups=[group], columns=list(columns), use_threads=False)

    def fixed(self, number: int, column: str, out: NDArray[np.int32]) -> bool:
        """Fill `out` (rows, length) with a list column of row group `number`; False where `batches` has to read it.

        Raises:
            StaleArtifact: as `batches`.
        """
        with self._opened(number) as (f, about):
            group = about.row_group(int(self.group[number]))
            wanted = f"{column}.list.element"
            found = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == wanted)
            f.seek(found.data_page_offset)
            try:
                return pages.read_fixed(memoryview(f.read(found.total_compressed_size)), found, out)
            except (ValueError, IndexError, KeyError):  # no page header, or a damaged one
                return False

    @contextmanager
    def _opened(self, number: int) -> Iterator[tuple[IO[bytes], pq.FileMetaData]]:
        where = storage.join(self.uri, self.names[int(self.shard[number])])
        try:
            with storage.open(where) as f:
                about = self._about(int(self.shard[number]), f)
                if about is None or about.row_group(int(self.group[number])).num_rows != self.rows[number]:
                    raise StaleArtifact(f"{where} is not the file any more that it was when reading began; begin again")
                yield f, about
        except FileNotFoundError as error:
            raise StaleArtifact(f"{where} is gone; it was there when reading began") from error
        except OSError as error:  # a damaged page as well
            raise StaleArtifact(f"{where} cannot be read ({error}); check it with 'speechprep verify'") from error

    def _about(self, shard: int, f: IO[bytes]) -> pq.FileMetaData | None:
        """The footer of an open shard, None for another file size; the footers of the last shards are kept."""
        if f.seek(0, os.SEEK_END) != self.made.shards[shard].size:
            return None
        if shard not in self._footers:
            with pq.ParquetFile(f, pre_buffer=False) as file:
                self._footers[shard] = file.metadata
            if len(self._footers) > _FOOTERS:
                del self._footers[next(iter(self._footers))]
        return self._footers[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_footers": {}}

    def place(self, number: int) -> str:
        """A row group for messages: its shard and its rows."""
        before = int(self.rows[:number][self.shard[:number] == self.shard[number]].sum())
        name = self.names[int(self.shard[number])]
        return f"{self.uri}/{name}, rows {before} to {before + int(self.rows[number]) - 1}"


def open_folder(uri: str, codes: Codes) -> Folder:
    """Open a folder and check it.

    Raises:
        StaleArtifact: not complete; a shard is missing or changed; made with another vocabulary; an id out of range.
        SchemaMismatch: another kind of dataset, or other columns than declared.
        ConfigError: no rows.
    """
    made = manifest.read(uri)
    if made.kind not in _WANTED:
        raise SchemaMismatch(f"{uri} is a folder of {made.kind!r}; a reader takes 'packed' or 'tokens'")
    vocabulary = made.extra.get("vocabulary")
    if vocabulary != codes.fingerprint:
        has = "names no vocabulary" if vocabulary is None else f"was made with the vocabulary {vocabulary[:12]}"
        raise StaleArtifact(
            f"{uri} {has}, the model is for {codes.fingerprint[:12]}; give the 'subword' folder that the data was made "
            "with, or make the data again"
        )
    there = storage.sizes(uri)
    found: list[tuple[int, int, int, int]] = []
    for number, shard in enumerate(made.shards):
        if there.get(shard.name) != shard.size:
            has = f"has {there[shard.name]} bytes" if shard.name in there else "is not there"
            raise StaleArtifact(
                f"{uri}/{shard.name} {has}, the manifest says {shard.size} bytes; see 'speechprep verify'"
            )
        found += _groups(storage.join(uri, shard.name), number, shard.rows, made.kind, codes)
    if not found:
        raise ConfigError(f"{uri} has no rows: nothing can be read from it")
    shards_, groups, rows, tokens = (np.array(column) for column in zip(*found, strict=True))
    first = np.cumsum(rows) - rows
    names = [s.name for s in made.shards]
    return Folder(uri, made, names, shards_.astype(np.int32), groups.astype(np.int32), rows, tokens, first)


def _groups(uri: str, number: int, rows: int, kind: str, codes: Codes) -> list[tuple[int, int, int, int]]:
    with storage.open(uri) as f, pq.ParquetFile(f, pre_buffer=False) as file:
        _check_columns(file.schema_arrow, kind, uri)
        meta = file.metadata
        if meta.num_rows != rows:
            raise StaleArtifact(f"{uri} has {meta.num_rows} rows, the manifest says {rows}; see 'speechprep verify'")
        found = []
        for group in range(meta.num_row_groups):
            about = meta.row_group(group)
            if not about.num_rows:
                continue
            column = next(c for c in map(about.column, range(about.num_columns)) if c.path_in_schema == TOKENS_OF)
            stats = column.statistics
            if stats is None or (stats.num_values and not stats.has_min_max):
                raise SchemaMismatch(f"{uri}: no statistics of input_ids in the footer; write it with speechprep again")
            if stats.num_values and not 0 <= stats.min <= stats.max < codes.size:
                raise StaleArtifact(_out_of_range(file, group, uri, codes))
            found.append((number, group, about.num_rows, stats.num_values))
        return found


def _check_columns(schema: pa.Schema, kind: str, uri: str) -> None:
    for name, inner in _WANTED[kind].items():
        at = schema.get_field_index(name)
        wanted = pa.string() if inner is None else pa.list_(inner)
        if at < 0 or schema.field(at).type != wanted:
            has = "no such column" if at < 0 else str(schema.field(at).type)
            raise SchemaMismatch(f"{uri}: column {name!r} is {has}, a folder of {kind!r} has {wanted}")


def _out_of_range(file: pq.ParquetFile, group: int, uri: str, codes: Codes) -> str:
    """The number of the row, found by reading the group: the footer has only the extremes."""
    before = sum(file.metadata.row_group(g).num_rows for g in range(group))
    tokens = file.read_row_group(group, columns=["input_ids"]).column(0).combine_chunks()
    flat, offsets = np.asarray(tokens.values), np.asarray(tokens.offsets)
    at = int(np.flatnonzero((flat < 0) | (flat >= codes.size))[0])
    row = before + int(np.searchsorted(offsets, at, side="right")) - 1
    return (
        f"{uri}, row {row}: token id {int(flat[at])}, but the vocabulary of the model has the ids 0 to "
        f"{codes.size - 1}; the data is damaged or of another vocabulary"
    )
