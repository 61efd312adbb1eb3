"""Parquet files with audio in a column: Hugging Face's struct of bytes and path, plain bytes, or paths."""

from __future__ import annotations

import json
import posixpath
import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import ALIASES, Entry, Options, Record, Rejected, check_id
from speechprep.pipelines.sources.fields import check_columns, describe, normalise, reject, scalar, split_of
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.lines import open_regular
from speechprep.pipelines.sources.timed.named import to_records

DAMAGE = (pa.ArrowException, OSError)
_ROWS = 1024
_MIXED_ROWS = 32  # rows with their encoded audio, read together


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each row; the id is the `id` column, else the name in the audio struct, else file and row."""
    name, position = posixpath.basename(uri), 0
    base = Base.of(uri, options.audio_root, options.search)
    try:
        with opened(uri) as file:
            column = audio_column(file.schema_arrow, options, name)
            classes = class_names(file.schema_arrow)
            columns = listed_columns(file.schema_arrow, column, options)
            for rows, embedded in _blocks(file, column, columns):
                for row, is_embedded in zip(rows, embedded, strict=True):
                    name_classes(row, classes)
                    where = f"{name}:{position}"
                    if is_embedded:
                        yield embedded_record("parquet", uri, column, row, where, position, options)
                    else:
                        yield from to_records(row, base, where, options)
                    position += 1
    except DAMAGE as error:
        yield Rejected(
            name, BadInput("archive_damaged", f"{uri} cannot be read as Parquet from row {position}: {error}")
        )


@contextmanager
def opened(uri: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file; `DAMAGE` has the errors of a damaged one."""
    with open_regular(uri) as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
        yield file


def listed_columns(schema: pa.Schema, audio: str, options: Options) -> list[str]:
    """Columns for the listing of a file: all recognised fields, and the path of the audio."""
    names = {alias for aliases in ALIASES.values() for alias in aliases} | set(options.columns.values())
    path = f"{audio}.path" if pa.types.is_struct(schema.field(audio).type) else audio
    columns = [c for c in schema.names if (c in names or c.lower() in names) and c != audio]
    return [*columns, path] if _is_leaf(schema, path) else columns


def audio_column(schema: pa.Schema, options: Options, name: str) -> str:
    """The column with the audio.

    Raises:
        ConfigError: there is none.
    """
    check_columns(schema.names, options, name)
    if "audio" in options.columns:
        return options.columns["audio"]
    return next(alias for alias in ALIASES["audio"] if alias in schema.names)


def _is_leaf(schema: pa.Schema, path: str) -> bool:
    column, _, child = path.partition(".")
    kind = schema.field(column).type
    if child:
        return bool(kind.get_field_index(child) >= 0)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _blocks(file: pq.ParquetFile, column: str, columns: list[str]) -> Iterator[tuple[list[dict[str, Any]], list[bool]]]:
    """Blocks of rows, and for each row whether it holds encoded audio. Encoded audio itself is left out.

    A struct of bytes and path is decided for each row. The bytes are read only in row groups with both.
    """
    for group in range(file.num_row_groups):
        embedded = _embedded(file, column, group)
        if embedded is not None:
            for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=columns):
                yield batch.to_pylist(), [embedded] * batch.num_rows
            continue
        mixed = file.iter_batches(batch_size=_MIXED_ROWS, row_groups=[group], columns=[*columns, f"{column}.bytes"])
        for batch in mixed:
            struct = batch.column(column)
            held = pc.is_valid(pc.struct_field(struct, "bytes")).to_pylist()
            paths = (
                pc.struct_field(struct, "path") if struct.type.get_field_index("path") >= 0 else pa.nulls(len(struct))
            )
            others = batch.drop_columns([column]).to_pylist()
            yield [{**row, column: {"path": path}} for row, path in zip(others, paths.to_pylist(), strict=True)], held


def _embedded(file: pq.ParquetFile, column: str, group: int) -> bool | None:
    """True where all rows of a group hold encoded audio, False where none does, None where the rows decide."""
    kind = file.schema_arrow.field(column).type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    if pa.types.is_null(kind.field("bytes").type):
        return False
    index = next(i for i in range(len(file.schema)) if file.schema.column(i).path == f"{column}.bytes")
    chunk, rows = file.metadata.row_group(group).column(index), file.metadata.row_group(group).num_rows
    if chunk.statistics is None or chunk.statistics.null_count is None:
        return None
    return {0: True, rows: False}.get(chunk.statistics.null_count)


def embedded_record(
    archive: str, uri: str, column: str, row: dict[str, Any], where: str, position: int, options: Options
) -> Record:
    """The entry of a row with encoded audio; `archive`: name of the dialect of its file."""
    struct = row.pop(column, None)
    path = struct.get("path") if isinstance(struct, dict) else None
    entry = Entry(id="", where=where, audio=uri, archive=archive, member=column, start=position)
    entry.order = f"{uri}\0{position:09d}"
    fields = normalise(row, options)
    try:
        describe(entry, fields, options)
        entry.split = entry.split or split_of(uri)
        id = fields.get("id")
        if id is None:
            entry.place = f"{posixpath.splitext(uri)[0]}-{position:08d}"
            if path:
                id = posixpath.splitext(posixpath.basename(path))[0]
            elif options.archive_ids:
                id = f"{_stem(uri)}-{position:08d}"
        if id is not None:  # else from the place
            entry.id = check_id(f"{_stem(uri)}/{scalar(id, 'id')}" if options.archive_ids else scalar(id, "id"))
    except BadInput as error:
        return reject(fields, error, where)
    return entry


def _stem(uri: str) -> str:
    return posixpath.splitext(posixpath.basename(uri))[0]


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names behind the numbers of Hugging Face's ClassLabel columns."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {c: f["names"] for c, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def name_classes(row: dict[str, Any], classes: dict[str, list[str]]) -> None:
    """Replace the numbers of classes in a row by their names."""
    for column, names in classes.items():
        value = row.get(column)
        if isinstance(value, int) and 0 <= value < len(names):
            row[column] = names[value]


class ParquetReader(AbstractContextManager["ParquetReader"]):
    """Reader of the encoded audio of rows; fastest in ascending order, because memory holds one row group at a time."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._opened = opened(uri)
        self._file = self._opened.__enter__()
        metadata = self._file.metadata
        self._stops = list(accumulate(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)))
        self._group = -1
        self._values = pa.chunked_array([[]])

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(None, None, None)

    def read(self, entry: dict[str, Any]) -> bytes:
        """The bytes of an entry of this file.

        Raises:
            BadInput: `archive_damaged`, or `missing_field` where the row has none.
        """
        row, column = entry["start"], entry["member"]
        group = bisect_right(self._stops, row)
        try:
            if group != self._group:
                self._values = _values(self._file, group, column)
                self._group = group
        except DAMAGE as error:
            raise BadInput("archive_damaged", f"{self._uri}: row {row} cannot be read: {error}") from None
        value: bytes | None = self._values[row - (self._stops[group - 1] if group else 0)].as_py()
        if value is None:
            raise BadInput("missing_field", f"{self._uri}: row {row} has no audio bytes; add them or remove the row")
        return value


def _values(file: pq.ParquetFile, group: int, column: str) -> pa.ChunkedArray:
    struct = pa.types.is_struct(file.schema_arrow.field(column).type)
    values = file.read_row_group(group, columns=[f"{column}.bytes" if struct else column]).column(0)
    return pc.struct_field(values, "bytes") if struct else values


_SUFFIX = re.compile(r".+\.parquet", re.IGNORECASE)


def _is_parquet(head: FileHead) -> bool:
    """A Parquet file; one found in a folder needs a column with audio."""
    if not head.data.startswith(b"PAR1"):
        return False
    if head.named:
        return True
    try:
        with opened(head.uri) as file:
            return bool(head.audio_columns & {name.lower() for name in file.schema_arrow.names})
    except DAMAGE:
        return True  # damaged: a reject names it


DIALECT = Dialect(
    name="parquet",
    summary="Parquet with an audio column: Hugging Face's struct of bytes and path, bytes, or paths",
    read=read,
    file=_is_parquet,
    pattern=_SUFFIX,
    archive=ParquetReader,
)
