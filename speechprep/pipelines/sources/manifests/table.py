"""CSV and TSV tables with a header line; their columns may have any of the usual names."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Iterator

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import ALIASES, Options, Record, Rejected
from speechprep.pipelines.sources.fields import check_columns, to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.lines import read_lines

Row = tuple[str, dict[str, str | None] | BadInput]
Cells = tuple[str, list[str] | BadInput]


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a table; an empty cell is no value."""
    base = Base.of(uri, options.audio_root)
    for where, row in rows(uri, options):
        yield Rejected(where, row) if isinstance(row, BadInput) else to_record(row, base, where, options)


def rows(uri: str, options: Options) -> Iterator[Row]:
    """(place, row by lower-case column name or error) of each line after the header.

    Raises:
        ConfigError: no header, or none of its columns holds audio.
    """
    name = posixpath.basename(uri)
    table = cells(uri)
    _, header = next(table, (name, BadInput("bad_row", "no header")))
    if isinstance(header, BadInput):
        raise ConfigError(f"{uri} is not a table with a header line: {header}; add the header")
    names = [column.strip().lower() for column in header]
    check_columns(names, options, name)
    yield from by_column(names, table)


def by_column(names: list[str], table: Iterator[Cells]) -> Iterator[Row]:
    """(place, row by column name or error) of lines of cells; an empty cell is None."""
    for where, row in table:
        if isinstance(row, BadInput):
            yield where, row
        elif len(row) != len(names):
            yield (
                where,
                BadInput("bad_row", f"{where}: {len(row)} cells, the header has {len(names)}; correct the line"),
            )
        else:
            yield where, {column: cell or None for column, cell in zip(names, row, strict=True)}


def cells(uri: str, delimiter: str | None = None) -> Iterator[Cells]:
    """(place, cells or error) of each line.

    Tabs and bars are taken literally, as Common Voice and LJSpeech write them; comma and semicolon tables may quote.
    """
    name = posixpath.basename(uri)
    number = 0

    def decoded() -> Iterator[str]:
        nonlocal number
        for number, line in read_lines(uri):  # noqa: B007 - read by the loop below
            # Bytes outside of UTF-8 become lone surrogates; the used fields are checked for them.
            yield line.decode("utf-8", "surrogateescape") + "\n"

    lines = decoded()
    try:
        first = next(lines, None)
        if first is None:
            return
        delimiter = delimiter or max("\t;,|", key=first.count)
        text = _chain(first, lines)
        if delimiter in ",;":
            reader = csv.reader(text, delimiter=delimiter)
        else:
            reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield f"{name}:{number}", BadInput("bad_row", f"{name}:{number}: {error}")
                continue
            if row is None:
                return
            yield f"{name}:{number}", row
    except BadInput as error:
        yield name, error


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


DIALECT = Dialect(
    name="table",
    summary="CSV and TSV tables with a header line, whatever the names of the columns",
    read=read,
    rank=70,
    file=lambda head: bool(head.columns & set(ALIASES["audio"])),
    pattern=re.compile(r".+\.(csv|tsv)(\.gz)?$"),
    by_suffix=True,
)
