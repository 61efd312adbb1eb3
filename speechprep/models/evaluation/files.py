"""Tables of texts by id: files of recognisers and annotators in JSON Lines, TSV, CSV or sclite's .trn."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from speechprep.artifacts import storage
from speechprep.artifacts.text_files import json_object
from speechprep.errors import BadInput, ConfigError

_TRN = re.compile(r"(.*)\(([^()\s]+)\)\s*")
Row = dict[str, Any]


class Table:
    """Rows of a text file.

    The suffix gives the format: `.jsonl`, `.tsv` (without quoting), `.csv` or `.trn`. A line of `.trn` is `text (id)`,
    and the case of its ids is ignored, as in sclite.

    Args:
        path: file or URI.
        id_column: column of the ids.

    Raises:
        ConfigError: a missing file, an unknown suffix, or a missing column.
        BadInput: a malformed line (`bad_row`), or a row without an id (`no_id`).
    """

    def __init__(self, path: str, id_column: str = "id") -> None:
        self.path = path
        if not storage.exists(path) or storage.is_dir(path):
            raise ConfigError(f"{path}: no such file; name an existing file")
        self.rows = [(line, row) for line, row in _rows(path) if row]
        self.id_column = "id" if path.endswith(".trn") else id_column
        self._require(self.id_column)
        self.ids = [self._id(line, row) for line, row in self.rows]

    def has(self, column: str) -> bool:
        """True if the first row has this column."""
        return bool(self.rows) and column in self.rows[0][1]

    def texts(self, column: str = "text") -> dict[str, str]:
        """id -> the text of a column.

        Raises:
            BadInput: an id twice (`duplicate_id`), or a cell without text (`bad_row`).
        """
        self._require(column)
        texts: dict[str, str] = {}
        for (line, row), id in zip(self.rows, self.ids, strict=True):
            if id in texts:
                raise BadInput("duplicate_id", f"{self.path}:{line}: id {id!r} occurs twice; keep one of the rows")
            texts[id] = self._text(line, row.get(column), column)
        return texts

    def lists(self, column: str = "text") -> dict[str, list[str]]:
        """id -> texts of a column, from several rows with the same id, from lists in JSON, or from both.

        Raises:
            BadInput: a cell with neither a text nor a list of texts (`bad_row`).
        """
        self._require(column)
        texts: dict[str, list[str]] = {}
        for (line, row), id in zip(self.rows, self.ids, strict=True):
            cell = row.get(column)
            parts = cell if isinstance(cell, list) else [cell]
            texts.setdefault(id, []).extend(self._text(line, part, column) for part in parts)
        return texts

    def _require(self, column: str) -> None:
        if self.rows and not self.has(column):
            columns = ", ".join(map(repr, self.rows[0][1]))
            raise ConfigError(f"{self.path} has no column {column!r}; name one of {columns}")

    def _id(self, line: int, row: Row) -> str:
        id = row.get(self.id_column)
        if id is None or id == "" or isinstance(id, dict | list | bool | float):
            raise BadInput("no_id", f"{self.path}:{line}: {self.id_column!r} is {id!r}; give each row an id")
        return str(id)

    def _text(self, line: int, cell: object, column: str) -> str:
        if not isinstance(cell, str):
            raise BadInput("bad_row", f"{self.path}:{line}: {column!r} is {cell!r}; write a text, or '' for none")
        return cell


def _rows(path: str) -> Iterator[tuple[int, Row]]:
    """(line number, row) of each line; an empty row for an empty line."""
    try:
        text = storage.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("bad_row", f"{path}: byte {error.start} is not UTF-8; convert the file to UTF-8") from error
    form = path.rpartition(".")[2].lower()
    if form == "jsonl":
        yield from ((number, _json(path, number, line)) for number, line in enumerate(text.split("\n"), 1))
    elif form == "trn":
        yield from ((number, _trn(path, number, line)) for number, line in enumerate(text.split("\n"), 1))
    elif form == "csv":
        yield from _cells(path, csv.DictReader(io.StringIO(text, newline=""), strict=True))
    elif form == "tsv":
        yield from _cells(path, csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    else:
        raise ConfigError(f"{path} has an unknown suffix; use .jsonl, .tsv, .csv or .trn")


def _cells(path: str, reader: csv.DictReader[str]) -> Iterator[tuple[int, Row]]:
    try:
        for row in reader:
            if None in row or None in row.values():
                raise BadInput(
                    "bad_row",
                    f"{path}:{reader.line_num}: the number of columns differs from the head; correct the line",
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise BadInput("bad_row", f"{path}:{reader.reader.line_num}: {error}") from error


def _json(path: str, number: int, line: str) -> Row:
    if not line.strip():
        return {}
    return json_object(path, number, line)


def _trn(path: str, number: int, line: str) -> Row:
    if not line.strip() or line.startswith(";;"):
        return {}
    match = _TRN.fullmatch(line)
    if not match:
        raise BadInput("bad_row", f"{path}:{number}: not a line of .trn; write `text (id)`")
    return {"id": match[2].casefold(), "text": match[1].strip()}
