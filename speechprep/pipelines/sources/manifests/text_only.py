"""Text without audio: text files, JSON, tables, Parquet and Arrow files, in folders and archives.

The user names this form with `format=text`; no input is recognised as it. An input with audio is refused, so a corpus
of speech is never read as text. Each line of a text file is one row, and so is each record with a text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources import lines
from speechprep.pipelines.sources.dialect import Dialect, FileHead, Folder
from speechprep.pipelines.sources.entry import ALIASES, Entry, Options, Record, Rejected, check_id, clean_text
from speechprep.pipelines.sources.fields import describe, normalise, reject, scalar, split_of
from speechprep.pipelines.sources.files import walk
from speechprep.pipelines.sources.folder import is_audio_file, is_sidecar
from speechprep.pipelines.sources.inventory import kind_of
from speechprep.pipelines.sources.manifests import arrow, jsonl, parquet, table
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio
from speechprep.pipelines.sources.trees.tar import members_of

Row = tuple[str, Mapping[str, Any] | BadInput]
_TEXT = re.compile(r".+\.(txt|text)(\.(gz|bz2|xz))?", re.IGNORECASE)
_ARCHIVES = re.compile(r".+\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz|zip)", re.IGNORECASE)
_KEPT = ("text", "speaker", "language", "split", "licence", "corpus", "captions", "labels")
_ROWS = 1024


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each line of text and each record with a text, of a file, a folder or an archive.

    Raises:
        ConfigError: the input holds audio, or a file that the user named holds no text.
    """
    if not tree.is_dir(uri):
        _refuse_transcript(uri)
        yield from _read_file(uri, options, named=True)
        return
    for below, names in walk(uri):
        place = storage.join(uri, below) if below else uri.rstrip("/")
        sound = next((name for name in names if is_audio_file(place, name)), None)
        if sound is not None:
            raise _holds_audio(storage.join(place, sound))
        for name in names:
            yield from _read_file(storage.join(place, name), options, named=False)


def _holds_audio(where: str) -> ConfigError:
    return ConfigError(
        f"{where} is audio, and format=text is for text without audio; set format=auto, or give the text files alone"
    )


def _refuse_transcript(uri: str) -> None:
    """Raise a ConfigError for a file with the name of an audio file beside it."""
    folder, name = posixpath.split(uri)
    keys = Folder(folder, tree.names_in(folder or ".")).audio_keys
    if is_sidecar(name, keys):
        raise ConfigError(
            f"{uri} is the transcript of an audio file beside it, and format=text is for text without audio; move it "
            "to another folder, or set format=auto for the audio"
        )


def _read_file(uri: str, options: Options, *, named: bool) -> Iterator[Record]:
    """The entries of one file. A file without text is refused if the user named it, else counted as not read."""
    name = posixpath.basename(uri)
    if _ARCHIVES.fullmatch(name):
        options.ledger.use(uri, "archive")
        yield from members_of(uri, options, read)
        return
    rows = None if kind_of(name) == "documentation" and not named else _rows_of(uri, options)
    if rows is None:
        if named:
            raise ConfigError(
                f"{uri} holds no text: it is no text file, and no record of it has one of the columns "
                f"{', '.join(_names('text', options))}; name the column with --set columns.text=NAME"
            )
        return
    options.ledger.use(uri, "text")
    for where, row in rows:
        record = Rejected(where, row) if isinstance(row, BadInput) else _entry(row, uri, where, options)
        if record is not None:
            yield record


def _names(field: str, options: Options) -> tuple[str, ...]:
    return (options.columns[field],) if field in options.columns else ALIASES[field]


def _rows_of(uri: str, options: Options) -> Iterator[Row] | None:
    """The records of a file; None for a file of another form, and for records without a column for the text."""
    name = posixpath.basename(uri)
    if _TEXT.fullmatch(name):
        return _lines(uri)
    wanted = set(_names("text", options))

    def has_text(columns: Any) -> bool:
        return any(column in wanted or column.lower() in wanted for column in columns)

    readers: tuple[tuple[Dialect, Callable[[str, Callable[[Any], bool]], Iterator[Row] | None]], ...] = (
        (jsonl.DIALECT, _objects),
        (table.DIALECT, _cells),
        (parquet.DIALECT, _parquet),
        (arrow.DIALECT, _arrow),
    )
    for dialect, rows in readers:
        if dialect.matches(name):
            return rows(uri, has_text)
    return None


def _lines(uri: str) -> Iterator[Row]:
    name = posixpath.basename(uri)
    try:
        for number, line in lines.read_lines(uri):
            yield f"{name}:{number}", {"text": line.decode("utf-8", "surrogateescape")}
    except BadInput as error:
        yield name, error


def _objects(uri: str, has_text: Callable[[Any], bool]) -> Iterator[Row] | None:
    first = FileHead(uri, lines.head(uri)).first_object
    return jsonl.objects(uri) if first is not None and has_text(first) else None


def _cells(uri: str, has_text: Callable[[Any], bool]) -> Iterator[Row] | None:
    cells = table.cells(uri)
    _, header = next(cells, ("", BadInput("bad_row", "no header")))
    if isinstance(header, BadInput):
        return None
    names = [column.strip().lower() for column in header]
    return table.by_column(names, cells) if has_text(names) else None


def _parquet(uri: str, has_text: Callable[[Any], bool]) -> Iterator[Row] | None:
    try:
        with parquet.opened(uri) as file:
            schema = file.schema_arrow
    except parquet.DAMAGE as error:
        return iter([(posixpath.basename(uri), _damaged(uri, 0, error))])
    _refuse_sound(uri, schema)

    def batches() -> Iterator[pa.RecordBatch]:
        with parquet.opened(uri) as file:
            yield from file.iter_batches(batch_size=_ROWS)

    return _columns(uri, schema, batches()) if has_text(schema.names) else None


def _arrow(uri: str, has_text: Callable[[Any], bool]) -> Iterator[Row] | None:
    try:
        with arrow.opened(uri) as (schema, _):
            pass
    except arrow.DAMAGE as error:
        return iter([(posixpath.basename(uri), _damaged(uri, 0, error))])
    _refuse_sound(uri, schema)

    def batches() -> Iterator[pa.RecordBatch]:
        with arrow.opened(uri) as (_, found):
            yield from found

    return _columns(uri, schema, batches()) if has_text(schema.names) else None


def _columns(uri: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[Row]:
    """The rows of record batches, with the names of classes."""
    name, position = posixpath.basename(uri), 0
    classes = parquet.class_names(schema)
    try:
        for batch in batches:
            for row in batch.to_pylist():
                parquet.name_classes(row, classes)
                yield f"{name}:{position}", row
                position += 1
    except arrow.DAMAGE as error:
        yield name, _damaged(uri, position, error)


def _damaged(uri: str, position: int, error: Exception) -> BadInput:
    return BadInput("archive_damaged", f"{uri} cannot be read from row {position}: {error}; save it again")


def _refuse_sound(uri: str, schema: pa.Schema) -> None:
    """Raise a ConfigError for a column with encoded audio: bytes, or a struct with bytes."""
    for column in ALIASES["audio"]:
        if column in schema.names:
            kind = schema.field(column).type
            if pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                raise _holds_audio(f"the column {column!r} of {uri}")


def _entry(row: Mapping[str, Any], uri: str, where: str, options: Options) -> Record | None:
    """An entry without audio; None for a blank text.

    Raises:
        ConfigError: the record names an audio file.
    """
    fields = normalise(row, options)
    sound = fields.get("audio")
    if isinstance(sound, Mapping) or (isinstance(sound, str) and is_audio(sound)):
        raise _holds_audio(f"the file that {where} names")
    if isinstance(fields.get("text"), str) and not fields["text"].strip():
        return None
    entry = Entry(id="", where=where, audio="")
    try:
        describe(entry, {name: fields[name] for name in _KEPT if name in fields}, options)
        if entry.text is None:
            raise BadInput("missing_field", "no text; remove the record, or set --set columns.text=NAME")
        entry.split = entry.split or split_of(uri)
        if fields.get("id") is not None:
            entry.id = check_id(scalar(fields["id"], "id"))
        else:
            entry.place = f"{uri.replace(tree.MARK, '/')}-{where.rpartition(':')[2]:0>8}"
        clean_text(entry.place or "", "the name of the file")
    except BadInput as error:
        return reject(fields, error, where)
    return entry


DIALECT = Dialect(
    name="text",
    summary="text without audio, named by the user: lines of text files, records of JSON, tables, Parquet and Arrow",
    read=read,
    whole=True,
)
