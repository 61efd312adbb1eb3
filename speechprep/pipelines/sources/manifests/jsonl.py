"""JSON Lines manifests: one object a line. NeMo, Hugging Face `metadata.jsonl`, and similar; plain or gzip."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.lines import read_lines


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a manifest; a bad line is a reject with its line number."""
    base = Base.of(uri, options.audio_root)
    for where, row in objects(uri):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
        else:
            yield to_record(row, base, where, options)


def objects(uri: str) -> Iterator[tuple[str, dict[str, Any] | BadInput]]:
    """(place, object or error) of each line."""
    name = posixpath.basename(uri)
    try:
        for number, line in read_lines(uri):
            where = f"{name}:{number}"
            try:
                yield where, _parse(line, where)
            except BadInput as error:
                yield where, error
    except BadInput as error:
        yield name, error


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
        raise BadInput("bad_json", f"{where}: {type(value).__name__} in place of a JSON object; correct the line")
    return value


_SUFFIX = re.compile(r".+\.(jsonl|json)(\.gz)?$")


def _is_json(head: FileHead) -> bool:
    return _SUFFIX.match(head.name) is not None or head.data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


DIALECT = Dialect(
    name="jsonl",
    summary="JSON Lines manifests, one object a line (NeMo, Hugging Face metadata.jsonl, and similar)",
    read=read,
    rank=50,
    file=_is_json,
    pattern=_SUFFIX,
    manifests=("manifest.jsonl", "metadata.jsonl", "manifest.json"),
)
