"""Rows of delimited text with quotes: one stray quote costs one row, never its neighbours."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator

from speechprep.pipelines.sources.trees.audio_names import is_audio

MAX_LINES = 200  # lines of one quoted cell

Line = tuple[int, str]  # number, text without its end
Parsed = tuple[int, list[str]]  # number of the last line, cells


def quoted_rows(lines: Iterator[Line], delimiter: str) -> Iterator[Parsed]:
    """Cells of each row. A quoted cell may hold line ends.

    A quote without an end is text: in a row of one line, or before a line with a row of its own.
    """
    waiting: deque[Line] = deque()
    width: int | None = None
    while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        number, text = line
        if '"' not in text:
            cells = text.split(delimiter)
        elif not _is_open(text, delimiter):
            cells = next(csv.reader([text], delimiter=delimiter))
        else:
            number, cells = _joined(number, text, lines, waiting, delimiter, width)
        width = width or len(cells)
        yield number, cells


def _joined(
    number: int, text: str, lines: Iterator[Line], waiting: deque[Line], delimiter: str, width: int | None
) -> Parsed:
    """The row of a line with an open quote, with the following lines if they belong to it.

    Lines that do not belong to it are put into `waiting`, in front of the others.
    """
    taken: list[Line] = []
    joined = text
    while len(taken) < MAX_LINES and (line := waiting.popleft() if waiting else next(lines, None)) is not None:
        taken.append(line)
        if _is_row(line[1], delimiter, width):
            break
        joined += "\n" + line[1]
        if not _is_open(joined, delimiter):
            cells = _strict(joined, delimiter)
            if cells is not None and width in (None, len(cells)):
                return line[0], cells
            break
    waiting.extendleft(reversed(taken))
    return number, next(csv.reader([text], delimiter=delimiter, quoting=csv.QUOTE_NONE))


def _is_open(text: str, delimiter: str) -> bool:
    """True if a quoted cell has no end."""
    try:
        next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _strict(text: str, delimiter: str) -> list[str] | None:
    """Cells of a row with correct quotes; None for other rows."""
    try:
        return next(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _is_row(text: str, delimiter: str, width: int | None) -> bool:
    """True for a line with all cells of a row and the name of an audio file among them."""
    cells = next(csv.reader([text], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
    return len(cells) >= (width or 2) and any(is_audio(cell.strip(' "')) for cell in cells)
