"""JSON Lines manifests: one object a line. NeMo's, Hugging Face's `metadata.jsonl`, and one's own; plain or gzip."""

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
    """Entries of a manifest; a bad line is a reject with its number, the others stay."""
    base = Base.of(uri, options.audio_root)
    for where, found in objects(uri):
        if isinstance(found, BadInput):
            yield Rejected(where, found)
        else:
            yield to_record(found, base, where, options)


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
        found = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise BadInput(
            "text_encoding", f"{where}: byte {error.start + 1} is not UTF-8 (Latin-1?); save the file as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadInput("bad_json", f"{where}: not a JSON object: {error}") from None
    if not isinstance(found, dict):
        raise BadInput("bad_json", f"{where}: a JSON object is needed, this is {type(found).__name__}")
    return found


_SUFFIX = re.compile(r".+\.(jsonl|json)(\.gz)?$")


def _is_json(head: FileHead) -> bool:
    return _SUFFIX.match(head.name) is not None or head.data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


DIALECT = Dialect(
    name="jsonl",
    summary="JSON Lines manifests, one object a line (NeMo, Hugging Face's metadata.jsonl, your own)",
    read=read,
    rank=50,
    file=_is_json,
    pattern=_SUFFIX,
    manifests=("manifest.jsonl", "metadata.jsonl", "manifest.json"),
)
