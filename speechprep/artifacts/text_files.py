"""Text corpora without audio: files with one text on each line.

`.txt` has plain lines, `.jsonl` has objects with a column `text`; both may be compressed (`.gz`). Empty lines are left
out.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any, cast

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError

SUFFIXES = (".txt", ".jsonl", ".txt.gz", ".jsonl.gz")


def is_text_file(path: str) -> bool:
    """True if the suffix is one of `SUFFIXES`."""
    return path.lower().endswith(SUFFIXES)


def read_texts(path: str, column: str = "text") -> Iterator[tuple[str, str]]:
    """(id, text) of each line with a text. The id is "<file name>:<line number>".

    Args:
        path: file or URI.
        column: column of `.jsonl`.

    Raises:
        ConfigError: no such file, or an unknown suffix.
        BadInput: `bad_row`: a damaged archive, a line that is not UTF-8, or a row without a text.
    """
    name = path.rpartition("/")[2]
    for number, row in read_rows(path):
        text = row if isinstance(row, str) else row.get(column)
        if not isinstance(text, str):
            raise BadInput("bad_row", f"{path}:{number}: {column!r} is {text!r}; write a text")
        if text.strip():
            yield f"{name}:{number}", text


def read_rows(path: str) -> Iterator[tuple[int, Any]]:
    """(line number, line of `.txt` or object of `.jsonl`) of each line that is not empty.

    Raises:
        ConfigError, BadInput: see `read_texts`.
    """
    if not is_text_file(path):
        raise ConfigError(f"{path} has an unknown suffix; use one of {', '.join(SUFFIXES)}")
    if not storage.exists(path) or storage.is_dir(path):
        raise ConfigError(f"{path}: no such file; name an existing file")
    lower, number = path.lower(), 0
    with ExitStack() as stack:
        raw = stack.enter_context(storage.open(path))
        plain = stack.enter_context(gzip.GzipFile(fileobj=raw)) if lower.endswith(".gz") else raw
        lines = stack.enter_context(io.TextIOWrapper(cast(IO[bytes], plain), encoding="utf-8-sig", newline="\n"))
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    is_json = lower.removesuffix(".gz").endswith(".jsonl")
                    yield number, json_object(path, number, line) if is_json else line.strip()
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, OSError) as error:
            raise BadInput("bad_row", f"{path}: after line {number}: {error}; restore the file") from error


def json_object(path: str, number: int, line: str) -> dict[str, Any]:
    """The object in a line of a JSONL file.

    Raises:
        BadInput: `bad_row`: not JSON, or not an object.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadInput("bad_row", f"{path}:{number}: not JSON ({error}); correct the line") from error
    if not isinstance(row, dict):
        raise BadInput("bad_row", f"{path}:{number}: not a JSON object; write one object in each line")
    return row
