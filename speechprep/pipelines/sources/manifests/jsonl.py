"""JSON manifests: one object a line, or an array of objects. NeMo, Hugging Face `metadata.jsonl`, and similar."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources import lines
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.timed.named import to_records
from speechprep.pipelines.sources.trees.raw import DAMAGE

Row = tuple[str, dict[str, Any] | BadInput]
MAX_ARRAY = 2 << 30  # bytes of a JSON array
_BLANK = " \t\r\n,"
_NEXT = re.compile(r",\s*\{")


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a manifest; a bad line is a reject with its line number."""
    base = Base.of(uri, options.audio_root, options.search)
    for where, row in objects(uri):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
        else:
            yield from to_records(row, base, where, options)


def objects(uri: str) -> Iterator[Row]:
    """(place, object or error) of each line, or of each element of an array."""
    name = posixpath.basename(uri)
    try:
        if lines.head(uri, 64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            yield from _elements(uri, name)
            return
        for number, line in lines.read_lines(uri):
            where = f"{name}:{number}"
            try:
                yield where, _parse(line, where)
            except BadInput as error:
                yield where, error
    except BadInput as error:
        yield name, error


def _elements(uri: str, name: str) -> Iterator[Row]:
    """The elements of a JSON array. After a damaged element, reading goes on at the next object behind a comma."""
    with lines.open_text(uri) as file:
        try:
            data = file.read(MAX_ARRAY + 1)
        except DAMAGE as error:
            raise BadInput("manifest_damaged", f"{uri} cannot be read: {error}") from None
    if len(data) > MAX_ARRAY:
        raise BadInput("manifest_damaged", f"{uri} is larger than {MAX_ARRAY >> 30} GiB; save it as JSON Lines")
    text = data.decode("utf-8-sig", "surrogateescape")
    del data
    decoder = json.JSONDecoder()
    at, number = text.index("[") + 1, 0
    while True:
        while at < len(text) and text[at] in _BLANK:
            at += 1
        if at >= len(text):
            raise BadInput("manifest_damaged", f"{uri} breaks off after element {number}: the array has no end")
        if text[at] == "]":
            return
        number += 1
        where = f"{name}:{number}"
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield where, BadInput("bad_json", f"{where}: element {number} is not JSON: {error}; correct it")
            following = _NEXT.search(text, at + 1)
            if following is None:
                return
            at = following.end() - 1
            continue
        yield where, value if isinstance(value, dict) else _no_object(value, where)


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise BadInput(
            "text_encoding", f"{where}: byte {error.start + 1} is not UTF-8 (Latin-1?); save the file as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadInput("bad_json", f"{where}: not a JSON object: {error}; correct the line") from None
    if not isinstance(value, dict):
        raise _no_object(value, where)
    return value


def _no_object(value: Any, where: str) -> BadInput:
    return BadInput("bad_json", f"{where}: {type(value).__name__} in place of a JSON object; correct it")


_SUFFIX = re.compile(r".+\.(jsonl|json|ndjson|manifest)(\.(gz|bz2|xz))?", re.IGNORECASE)


def _is_json(head: FileHead) -> bool:
    if head.named:
        return _SUFFIX.fullmatch(head.name) is not None or head.first_object is not None
    return head.first_object is not None and any(key.lower() in head.audio_columns for key in head.first_object)


DIALECT = Dialect(
    name="jsonl",
    summary="JSON Lines manifests and JSON arrays of objects (NeMo, Hugging Face metadata.jsonl, and similar)",
    read=read,
    file=_is_json,
    pattern=_SUFFIX,
    general=True,
)
