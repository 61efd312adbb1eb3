"""CSV and TSV tables with a header line; their columns may have any of the usual names."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Iterator
from itertools import chain

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import check_columns
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.lines import read_lines
from speechprep.pipelines.sources.manifests.quoted import quoted_rows
from speechprep.pipelines.sources.timed.named import to_records

Row = tuple[str, dict[str, str | None] | BadInput]
Cells = tuple[str, list[str] | BadInput]


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a table; an empty cell is no value."""
    base = Base.of(uri, options.audio_root, options.search)
    for where, row in rows(uri, options):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
        else:
            yield from to_records(row, base, where, options)


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
    # Bytes outside of UTF-8 become lone surrogates; the used fields are checked for them.
    lines = ((number, line.decode("utf-8", "surrogateescape")) for number, line in read_lines(uri))
    try:
        first = next(lines, None)
        if first is None:
            return
        delimiter = delimiter or max("\t;,|", key=first[1].count)
        every = chain([first], lines)
        if delimiter in ",;":
            yield from ((f"{name}:{number}", row) for number, row in _quoted(every, delimiter, name))
        else:
            yield from ((f"{name}:{number}", line.split(delimiter)) for number, line in every)
    except BadInput as error:
        yield name, error


def _quoted(lines: Iterator[tuple[int, str]], delimiter: str, name: str) -> Iterator[tuple[int, list[str] | BadInput]]:
    """Rows with quotes; a row that cannot be split is an error with its number."""
    number = 0

    def counted() -> Iterator[tuple[int, str]]:
        nonlocal number
        for line in lines:
            number = line[0]
            yield line

    every = counted()
    while True:
        try:
            yield from quoted_rows(every, delimiter)
            return
        except csv.Error as error:
            yield number, BadInput("bad_row", f"{name}:{number}: {error}")


_SUFFIX = re.compile(r".+\.(csv|tsv)(\.(gz|bz2|xz))?", re.IGNORECASE)


def _is_table(head: FileHead) -> bool:
    return bool(head.columns & head.audio_columns) or (head.named and _SUFFIX.fullmatch(head.name) is not None)


DIALECT = Dialect(
    name="table",
    summary="CSV and TSV tables with a header line, whatever the names of the columns",
    read=read,
    file=lambda head: (
        bool(head.columns & head.audio_columns) or (head.named and _SUFFIX.fullmatch(head.name) is not None)
    ),
    pattern=_SUFFIX,
    general=True,
)
