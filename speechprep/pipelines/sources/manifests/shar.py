"""Shar folders of lhotse: `cuts.000000.jsonl.gz` with the audio of each cut in `recording.000000.tar`."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, Folder
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import reject, to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests import lhotse_cut
from speechprep.pipelines.sources.manifests.jsonl import objects
from speechprep.pipelines.sources.trees import tree

_CUTS = re.compile(r"cuts\.(\d+)\.jsonl(\.gz)?")
_NO_AUDIO = (".json", ".nodata", ".nometa")
_WHOLE = 0.1  # seconds: tolerance of the length of a stored cut


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of all shards of a folder."""
    for name in tree.names_in(uri):
        match = _CUTS.fullmatch(name)
        if match:
            options.ledger.use(storage.join(uri, name), "manifest")
            yield from _shard(uri, name, match[1], options)


def _shard(folder: str, name: str, shard: str, options: Options) -> Iterator[Record]:
    archive = next(
        (uri for end in ("tar", "tar.gz") if tree.is_file(uri := storage.join(folder, f"recording.{shard}.{end}"))),
        None,
    )
    audio: dict[str, str] = {}
    if archive is not None:
        options.ledger.use(archive, "archive")
        options.ledger.archive(archive)
        for below, names in tree.walk_archive(tree.root_of_archive(archive), lambda path: None):
            for member in names:
                stem, suffix = posixpath.splitext(posixpath.join(below, member))
                if suffix not in _NO_AUDIO:
                    audio[stem] = posixpath.join(below, member)
    root = tree.root_of_archive(archive) if archive is not None else folder
    base = Base(root, root, root, storage.join(folder, name))
    for where, cut in objects(storage.join(folder, name)):
        if isinstance(cut, BadInput):
            yield Rejected(where, cut)
            continue
        try:
            rows = lhotse_cut.of_cut(_stored(cut, audio, root, options))
        except BadInput as error:
            yield reject({"id": cut.get("id")}, error, where)
            continue
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            fault = BadInput("bad_cut", f"not a lhotse cut: {type(error).__name__} {error}; correct the line")
            yield reject({"id": cut.get("id")}, fault, where)
            continue
        for row in rows:
            if isinstance(row, BadInput):
                yield Rejected(where, BadInput(row.code, f"{where}: {row}"))
            else:
                yield to_record(row, base, where, options)


def _stored(cut: dict[str, Any], audio: dict[str, str], root: str, options: Options) -> dict[str, Any]:
    """The cut with the member of its audio as recording. The stored audio starts with the cut, if it is as long."""
    id = str(cut["id"])
    path = audio.get(id)
    if path is None:
        raise BadInput("audio_missing", f"the tar file of the recordings has no member {id!r}; make the shard again")
    facts = _facts(f"{root}/{id}.json", options)
    recording = cut.get("recording") or {}
    channels = [c for s in facts.get("sources") or recording.get("sources") or [] for c in s.get("channels") or []]
    length = facts.get("duration", recording.get("duration"))
    whole = not isinstance(length, int | float) or length <= float(cut["duration"]) + _WHOLE
    source = {"type": "file", "channels": channels or [0], "source": path}
    return {
        **cut,
        "start": 0.0 if whole else cut["start"],
        "recording": {"id": id, "sources": [source], "duration": length},
    }


def _facts(uri: str, options: Options) -> dict[str, Any]:
    """The manifest of the recording beside its audio."""
    try:
        with tree.open_regular(uri) as file:
            facts = json.loads(file.read(1 << 20))
    except (OSError, ValueError, RecursionError):
        return {}
    options.ledger.use(uri, "transcript")
    return facts if isinstance(facts, dict) else {}


def _is_shar(folder: Folder) -> bool:
    return any(_CUTS.fullmatch(name) for name in folder.names) and any(
        re.fullmatch(r"recording\.\d+\.tar(\.gz)?", name) for name in folder.names
    )


DIALECT = Dialect(
    name="shar",
    summary="a Shar folder of lhotse: cuts.000000.jsonl.gz, recording.000000.tar, ...",
    read=read,
    folder=_is_shar,
)
