"""A dataset folder for the reader: sizes of its row groups, and reading of one row group.

Opening a folder reads the footers of its shards alone, about 1 ms each. All checks run at this time.
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
from speechprep.artifacts.shards import parquet_file
from speechprep.errors import ConfigError, SchemaMismatch, StaleArtifact
from speechprep.models.data import parquet_pages
from speechprep.models.data.vocabulary import VocabularyMetadata
from speechprep.tokenizers.arrays.ragged import Ints

TOKENS_PATH = "input_ids.list.element"
_COLUMN_TYPES = {
    "packed": {"input_ids": pa.int32(), "document_ids": pa.int32(), "modality_ids": pa.int8(), "ids": pa.string()},
    "tokens": {"id": None, "kind": None, "input_ids": pa.int32()},
}
_MAX_FOOTERS = 64  # kept in memory for each folder


@dataclass
class Folder:
    """A complete folder of `packed` or `tokens`, opened by `open_folder`. It can be pickled for worker processes.

    Attributes:
        uri: path or URI of the folder.
        manifest: its manifest.
        names: file names of the shards.
        shard, group: (n,) shard number of each row group and its number in the shard; empty row groups are left out.
        rows: (n,) number of rows of each row group.
        tokens: (n,) number of tokens of each row group, with padding.
        first: (n,) number of rows of the folder before each row group.
    """

    uri: str
    manifest: Manifest
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
        return self.manifest.kind

    def batches(self, number: int, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Columns of row group `number`, at most `rows` rows at a time, so that decoding stays in the CPU cache.

        Raises:
            StaleArtifact: the shard was removed or replaced after the folder was opened.
        """
        group = int(self.group[number])
        with (
            self._opened(number) as (f, footer),
            pq.ParquetFile(f, metadata=footer, pre_buffer=False, page_checksum_verification=True) as file,
        ):
            yield from file.iter_batches(rows, row_groups=[group], columns=list(columns), use_threads=False)

    def fixed(self, number: int, column: str, out: NDArray[np.int32]) -> bool:
        """Fill `out` (rows, length) with a list column of row group `number`; False if `batches` must read it.

        Raises:
            StaleArtifact: as `batches`.
        """
        with self._opened(number) as (f, footer):
            group = footer.row_group(int(self.group[number]))
            path = f"{column}.list.element"
            chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == path)
            f.seek(chunk.data_page_offset)
            try:
                return parquet_pages.read_fixed(memoryview(f.read(chunk.total_compressed_size)), chunk, out)
            except (ValueError, IndexError, KeyError):  # an absent or damaged page header
                return False

    @contextmanager
    def _opened(self, number: int) -> Iterator[tuple[IO[bytes], pq.FileMetaData]]:
        path = storage.join(self.uri, self.names[int(self.shard[number])])
        try:
            with storage.open(path) as f:
                footer = self._footer(int(self.shard[number]), f)
                if footer is None or footer.row_group(int(self.group[number])).num_rows != self.rows[number]:
                    raise StaleArtifact(f"{path} was replaced after reading began; restart the reader")
                yield f, footer
        except FileNotFoundError as error:
            raise StaleArtifact(f"{path} was removed after reading began; restore it") from error
        except OSError as error:  # damaged pages raise it too
            raise StaleArtifact(f"{path} cannot be read ({error}); check it with 'speechprep verify'") from error

    def _footer(self, shard: int, f: IO[bytes]) -> pq.FileMetaData | None:
        """The footer of an open shard; None if the file size has changed. The newest `_MAX_FOOTERS` are kept."""
        if f.seek(0, os.SEEK_END) != self.manifest.shards[shard].size:
            return None
        if shard not in self._footers:
            with parquet_file(f) as file:
                self._footers[shard] = file.metadata
            if len(self._footers) > _MAX_FOOTERS:
                del self._footers[next(iter(self._footers))]
        return self._footers[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_footers": {}}

    def place(self, number: int) -> str:
        """Shard and rows of a row group, for error messages."""
        before = int(self.rows[:number][self.shard[:number] == self.shard[number]].sum())
        name = self.names[int(self.shard[number])]
        return f"{self.uri}/{name}, rows {before} to {before + int(self.rows[number]) - 1}"


def open_folder(uri: str, vocabulary: VocabularyMetadata) -> Folder:
    """Open a folder and check it.

    Args:
        uri: path or URI of a folder of `packed` or `tokens`.
        vocabulary: metadata of the vocabulary of the model.

    Raises:
        StaleArtifact: an incomplete folder, a missing or changed shard, another vocabulary, or an id out of range.
        SchemaMismatch: another kind of dataset, or other columns than declared.
        ConfigError: no rows.
    """
    record = manifest.read(uri)
    if record.kind not in _COLUMN_TYPES:
        raise SchemaMismatch(f"{uri} is a folder of {record.kind!r}; name a folder of 'packed' or 'tokens'")
    _check_vocabulary(uri, record.extra.get("vocabulary"), vocabulary)
    sizes = storage.sizes(uri)
    row_groups: list[tuple[int, int, int, int]] = []
    for number, shard in enumerate(record.shards):
        if sizes.get(shard.name) != shard.size:
            state = f"has {sizes[shard.name]} bytes" if shard.name in sizes else "is missing"
            raise StaleArtifact(
                f"{uri}/{shard.name} {state}, its size in the manifest is {shard.size} bytes; "
                "check the folder with 'speechprep verify'"
            )
        row_groups += _row_groups(storage.join(uri, shard.name), number, shard.rows, record.kind, vocabulary)
    if not row_groups:
        raise ConfigError(f"{uri} has no rows; name a folder with rows")
    shards, groups, rows, tokens = (np.array(column) for column in zip(*row_groups, strict=True))
    first = np.cumsum(rows) - rows
    names = [s.name for s in record.shards]
    return Folder(uri, record, names, shards.astype(np.int32), groups.astype(np.int32), rows, tokens, first)


def _check_vocabulary(uri: str, fingerprint: str | None, vocabulary: VocabularyMetadata) -> None:
    if fingerprint == vocabulary.fingerprint:
        return
    state = "names no vocabulary" if fingerprint is None else f"was made with the vocabulary {fingerprint[:12]}"
    raise StaleArtifact(
        f"{uri} {state}, the model is for {vocabulary.fingerprint[:12]}; give the 'subword' folder of the data, "
        "or make the data again"
    )


def _row_groups(
    uri: str, number: int, rows: int, kind: str, vocabulary: VocabularyMetadata
) -> list[tuple[int, int, int, int]]:
    """(shard number, row group, rows, tokens) of each row group with rows."""
    with storage.open(uri) as f, parquet_file(f) as file:
        _check_columns(file.schema_arrow, kind, uri)
        meta = file.metadata
        if meta.num_rows != rows:
            raise StaleArtifact(
                f"{uri} has {meta.num_rows} rows, the manifest has {rows}; check the folder with 'speechprep verify'"
            )
        row_groups = []
        for group in range(meta.num_row_groups):
            record = meta.row_group(group)
            if not record.num_rows:
                continue
            column = next(c for c in map(record.column, range(record.num_columns)) if c.path_in_schema == TOKENS_PATH)
            stats = column.statistics
            if stats is None or (stats.num_values and not stats.has_min_max):
                raise SchemaMismatch(f"{uri}: no statistics of input_ids in the footer; write it with speechprep again")
            if stats.num_values and not 0 <= stats.min <= stats.max < vocabulary.size:
                raise StaleArtifact(_out_of_range(file, group, uri, vocabulary))
            row_groups.append((number, group, record.num_rows, stats.num_values))
        return row_groups


def _check_columns(schema: pa.Schema, kind: str, uri: str) -> None:
    for name, inner in _COLUMN_TYPES[kind].items():
        at = schema.get_field_index(name)
        expected = pa.string() if inner is None else pa.list_(inner)
        if at < 0 or schema.field(at).type != expected:
            state = "missing" if at < 0 else str(schema.field(at).type)
            raise SchemaMismatch(
                f"{uri}: column {name!r} is {state}, a folder of {kind!r} has {expected}; write the folder again"
            )


def _out_of_range(file: pq.ParquetFile, group: int, uri: str, vocabulary: VocabularyMetadata) -> str:
    """Error message with the row number. It reads the row group, because the footer has only minimum and maximum."""
    before = sum(file.metadata.row_group(g).num_rows for g in range(group))
    tokens = file.read_row_group(group, columns=["input_ids"]).column(0).combine_chunks()
    flat, offsets = np.asarray(tokens.values), np.asarray(tokens.offsets)
    at = int(np.flatnonzero((flat < 0) | (flat >= vocabulary.size))[0])
    row = before + int(np.searchsorted(offsets, at, side="right")) - 1
    return (
        f"{uri}, row {row}: token id {int(flat[at])}, but the vocabulary of the model has the ids 0 to "
        f"{vocabulary.size - 1}; make the data again with this vocabulary"
    )
