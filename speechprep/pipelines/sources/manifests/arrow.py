"""Arrow files of Hugging Face's `save_to_disk`: streams of record batches with an audio column, or with paths."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.lines import open_regular
from speechprep.pipelines.sources.manifests.parquet import (
    audio_column,
    class_names,
    embedded_record,
    listed_columns,
    name_classes,
)
from speechprep.pipelines.sources.timed.named import to_records

DAMAGE = (pa.ArrowException, OSError, ValueError)


@contextmanager
def opened(uri: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Schema and record batches of an Arrow file, in the stream or the file format.

    Each batch is validated: reading the values of a damaged one would end the process.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(open_regular(uri))
        is_file = raw.read(6) == b"ARROW1"
        raw.seek(0)
        if is_file:
            file = stack.enter_context(pa.ipc.open_file(raw))
            yield file.schema, _validated(file.get_batch(i) for i in range(file.num_record_batches))
        else:
            stream = stack.enter_context(pa.ipc.open_stream(raw))
            yield stream.schema, _validated(stream)


def _validated(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        batch.validate(full=True)
        yield batch


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each row, as of Parquet."""
    name, position = posixpath.basename(uri), 0
    base = Base.of(uri, options.audio_root, options.search)
    try:
        with opened(uri) as (schema, batches):
            column = audio_column(schema, options, name)
            classes = class_names(schema)
            columns = [c for c in listed_columns(schema, column, options) if c.partition(".")[0] != column]
            for batch in batches:
                held = _held(batch, column)
                for row, audio, is_held in zip(
                    batch.select(columns).to_pylist(), _paths(batch, column), held, strict=True
                ):
                    name_classes(row, classes)
                    where = f"{name}:{position}"
                    row[column] = {"path": audio}
                    if is_held:
                        yield embedded_record("arrow", uri, column, row, where, position, options)
                    else:
                        yield from to_records(row, base, where, options)
                    position += 1
    except DAMAGE as error:
        reason = f"{uri} cannot be read as Arrow from row {position}: {error}; save it again"
        yield Rejected(name, BadInput("archive_damaged", reason))


def _held(batch: pa.RecordBatch, column: str) -> list[bool]:
    """Whether each row holds encoded audio."""
    values = batch.column(column)
    if pa.types.is_struct(values.type):
        if values.type.get_field_index("bytes") < 0:
            return [False] * len(values)
        values = pc.struct_field(values, "bytes")
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return [False] * len(values)
    return list(pc.is_valid(values).to_pylist())


def _paths(batch: pa.RecordBatch, column: str) -> list[str | None]:
    values = batch.column(column)
    if pa.types.is_struct(values.type):
        values = pc.struct_field(values, "path") if values.type.get_field_index("path") >= 0 else pa.nulls(len(values))
    elif not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return [None] * len(values)
    return list(values.to_pylist())


class ArrowReader(AbstractContextManager["ArrowReader"]):
    """Reader of the encoded audio of rows in ascending order; memory holds one record batch at a time."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._stack = ExitStack()
        self._iterator: Iterator[pa.RecordBatch] = iter(())
        self._first = 0
        self._batch: pa.RecordBatch | None = None

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(self, entry: dict[str, Any]) -> bytes:
        """The bytes of an entry of this file.

        Raises:
            BadInput: `archive_damaged`, or `missing_field` where the row has none.
        """
        row, column = entry["start"], entry["member"]
        try:
            values = self._batch_of(row).column(column)
            if pa.types.is_struct(values.type):
                values = pc.struct_field(values, "bytes")
            value: bytes | None = values[row - self._first].as_py()
        except (*DAMAGE, StopIteration, KeyError) as error:
            raise BadInput("archive_damaged", f"{self._uri}: row {row} cannot be read: {error}") from None
        if value is None:
            raise BadInput("missing_field", f"{self._uri}: row {row} has no audio bytes; add them or remove the row")
        return value

    def _batch_of(self, row: int) -> pa.RecordBatch:
        if self._batch is None or row < self._first:
            self._stack.close()
            self._iterator = self._stack.enter_context(opened(self._uri))[1]
            self._first, self._batch = 0, next(self._iterator)
        batch = self._batch
        while row >= self._first + batch.num_rows:
            self._first += batch.num_rows
            batch = self._batch = next(self._iterator)
        return batch


_SUFFIX = re.compile(r".+\.arrow", re.IGNORECASE)


def _is_arrow(head: FileHead) -> bool:
    """An Arrow file; one found in a folder needs a column with audio, and must be a file of its data set."""
    if not head.data.startswith((b"\xff\xff\xff\xff", b"ARROW1")):
        return False
    if head.named:
        return True
    try:
        with open_regular(storage.join(posixpath.dirname(head.uri), "state.json")) as file:
            listed = {item["filename"] for item in json.loads(file.read(1 << 24))["_data_files"]}
        if head.name not in listed:
            return False
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # no `save_to_disk`, or a damaged one
    try:
        with opened(head.uri) as (schema, _):
            return bool(head.audio_columns & {name.lower() for name in schema.names})
    except DAMAGE:
        return False


DIALECT = Dialect(
    name="arrow",
    summary="Arrow files of Hugging Face's save_to_disk",
    read=read,
    file=_is_arrow,
    pattern=_SUFFIX,
    archive=ArrowReader,
)
