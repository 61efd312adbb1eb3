"""Tarred data sets of NeMo: a manifest with `shard_id`, and the audio in `audio_0.tar`, `audio_1.tar` and so on."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests.jsonl import objects
from speechprep.pipelines.sources.trees import tree

_SHARD = re.compile(r"(.*?)_?0*(\d+)\.tar(\.gz|\.bz2|\.xz)?", re.IGNORECASE)


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a manifest; the audio is the member of the tar file of its shard.

    The tar files are beside the manifest, or in the folder above. The offset and the duration of a record are those of
    the segment before it was stored; a stored segment is a member of its own and is read as a whole.
    """
    shards = _shards(posixpath.dirname(uri)) or _shards(posixpath.dirname(posixpath.dirname(uri)))
    for tar in shards.values():
        options.ledger.use(tar, "archive")
        options.ledger.archive(tar)
    for where, row in objects(uri):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
            continue
        archive = shards.get(_number(row.get("shard_id")))
        if archive is None:
            reason = f"{where}: no tar file of shard {row.get('shard_id')!r} beside the manifest; add it"
            yield Rejected(where, BadInput("audio_missing", reason))
            continue
        root = tree.root_of_archive(archive)
        base = Base(root, root, root, uri, options.search)
        yield to_record(_stored(row, root), base, where, options)


def _shards(folder: str) -> dict[int, str]:
    """Number of a shard -> URI of its tar file."""
    found: dict[int, str] = {}
    for name in tree.names_in(folder):
        match = _SHARD.fullmatch(name)
        if match:
            found[int(match[2])] = storage.join(folder, name)
    return found


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return -1


def _stored(row: dict[str, Any], root: str) -> dict[str, Any]:
    """The record with the name of its member: NeMo stores `a/b.wav` as `a_b.wav`."""
    path = row.get("audio_filepath")
    if isinstance(path, str) and not tree.is_file(f"{root}/{path}"):
        stem, suffix = posixpath.splitext(path)
        for name in (posixpath.basename(path), stem.replace("/", "_").replace(".", "_") + suffix):
            if tree.is_file(f"{root}/{name}"):
                row = {**row, "audio_filepath": name}
                break
    return {key: value for key, value in row.items() if key != "offset"}


DIALECT = Dialect(
    name="nemo_tarred",
    summary="a tarred data set of NeMo: a manifest with shard_id, audio in audio_0.tar, audio_1.tar, ...",
    read=read,
    file=lambda head: _is_tarred(head),
    pattern=re.compile(r".+\.(jsonl|json)(\.gz)?", re.IGNORECASE),
)


def _is_tarred(head: FileHead) -> bool:
    first = head.first_object
    return first is not None and "shard_id" in first and "audio_filepath" in first
