"""Manifests of lhotse: cuts, and pairs of recordings and supervisions, as JSON Lines or JSON arrays.

Each supervision is one utterance with its own segment, text, speaker and channel. A cut without supervisions is one
utterance without a text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import reject, to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests import lhotse_cut
from speechprep.pipelines.sources.manifests.jsonl import objects
from speechprep.pipelines.sources.manifests.lhotse_cut import Row, Sources
from speechprep.pipelines.sources.scan import head_of
from speechprep.pipelines.sources.trees import tree

_FAULTS = (KeyError, TypeError, AttributeError, IndexError, ValueError)


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of cuts; of supervisions with the recordings beside them; or of recordings alone.

    Relative audio paths start from the manifest's folder (or `audio_root`), else from a folder above it.
    """
    kind = _kind(head_of(uri, options, named=True))
    if kind == "recordings":
        partner = _partner(uri, "supervisions", options)
        if partner is not None:
            options.ledger.use(partner, "manifest")
            yield from _supervised(partner, [uri], options)
            return
    if kind == "supervisions":
        recordings = _recordings(uri, options)
        for other in recordings:
            options.ledger.use(other, "manifest")
        yield from _supervised(uri, recordings, options)
        return
    rows_of = lhotse_cut.of_recording if kind == "recordings" else lhotse_cut.of_cut
    base = Base.of(uri, options.audio_root, options.search)
    for where, item in objects(uri):
        if isinstance(item, BadInput):
            yield Rejected(where, item)
            continue
        try:
            rows = rows_of(item)
        except BadInput as error:
            yield reject({"id": item.get("id")}, error, where)
        except _FAULTS as error:
            fault = BadInput("bad_cut", f"not a lhotse cut: {type(error).__name__} {error}; correct the line")
            yield reject({"id": item.get("id")}, fault, where)
        else:
            yield from _records(rows, base, where, options)


def _records(rows: list[Row], base: Base, where: str, options: Options) -> Iterator[Record]:
    plain = replace(options, columns={})
    for row in rows:
        if isinstance(row, BadInput):
            yield Rejected(where, BadInput(row.code, f"{where}: {row}"))
        else:
            yield to_record(row, base, where, plain)


def _supervised(uri: str, recordings: list[str], options: Options) -> Iterator[Record]:
    """One entry for each supervision; memory holds the sources of the recordings."""
    base = Base.of(uri, options.audio_root, options.search)
    sources: dict[str, Sources | BadInput] = {}
    for other in recordings:
        for where, item in objects(other):
            if isinstance(item, BadInput):
                yield Rejected(where, item)
                continue
            try:
                sources.setdefault(str(item["id"]), lhotse_cut.sources_of(item))
            except BadInput as error:
                sources.setdefault(str(item["id"]), error)
            except _FAULTS as error:
                fault = BadInput(
                    "bad_cut", f"{where}: not a lhotse recording: {type(error).__name__} {error}; correct it"
                )
                yield Rejected(where, fault)
    for where, item in objects(uri):
        if isinstance(item, BadInput):
            yield Rejected(where, item)
            continue
        try:
            source = sources.get(str(item["recording_id"]))
            if source is None:
                raise BadInput("audio_missing", f"no recording {item['recording_id']!r} in the manifest of recordings")
            if isinstance(source, BadInput):
                raise source
            rows = lhotse_cut.of_supervision(item, source)
        except BadInput as error:
            yield reject({"id": item.get("id")}, error, where)
        except _FAULTS as error:
            fault = BadInput("bad_cut", f"not a lhotse supervision: {type(error).__name__} {error}; correct the line")
            yield reject({"id": item.get("id")}, fault, where)
        else:
            yield from _records(rows, base, where, options)


_SUFFIX = re.compile(r".+\.(jsonl|json)(\.gz|\.bz2|\.xz)?", re.IGNORECASE)
# Names of the partner of a manifest: "recordings_train.jsonl" of "supervisions_train.jsonl", "audio.json" of
# "supervision.json".
_PAIRS = (("recordings", "supervisions"), ("recording", "supervision"), ("audio", "supervision"), ("recs", "sups"))
_NAMES = {
    "recordings": (
        ("supervisions", "recordings"),
        ("supervision", "recording"),
        ("supervision", "audio"),
        ("sups", "recs"),
    ),
    "supervisions": (
        ("recordings", "supervisions"),
        ("recording", "supervision"),
        ("audio", "supervision"),
        ("recs", "sups"),
    ),
}


def _kind(head: FileHead) -> str | None:
    """cuts, recordings or supervisions; None for other manifests."""
    first = head.first_object
    if first is None or "id" not in first:
        return None
    keys = first.keys()
    if "tracks" in keys or (
        "start" in keys and keys & {"recording", "supervisions", "features"} and "duration" in keys
    ):
        return "cuts"
    if {"sources", "sampling_rate"} <= keys:
        return "recordings"
    if {"recording_id", "start", "duration"} <= keys and not keys & {"storage_type", "num_features", "audio"}:
        return "supervisions"
    return None


def _siblings(uri: str, options: Options) -> Iterator[tuple[str, str | None]]:
    """(URI, kind) of the other manifests in the folder."""
    folder = posixpath.dirname(uri)
    for name in tree.names_in(folder):
        other = storage.join(folder, name) if folder else name
        if other != uri and _SUFFIX.fullmatch(name):
            yield other, _kind(head_of(other, options, named=False))


def _partner(uri: str, kind: str, options: Options) -> str | None:
    """The manifest of the other kind with the fitting name."""
    folder, name = posixpath.split(uri)
    for old, new in _NAMES[kind]:
        other = storage.join(folder, name.replace(old, new)) if folder else name.replace(old, new)
        if old in name and tree.is_file(other) and _kind(head_of(other, options, named=False)) == kind:
            return other
    return None


def _recordings(uri: str, options: Options) -> list[str]:
    """The recordings of a manifest of supervisions: by its name, else all in the folder."""
    partner = _partner(uri, "recordings", options)
    if partner is not None:
        return [partner]
    return [other for other, kind in _siblings(uri, options) if kind == "recordings"]


def _is_lhotse(head: FileHead) -> bool:
    """A manifest of lhotse. In a folder, each utterance is read once: cuts, else supervisions, else recordings."""
    kind = _kind(head)
    if kind is None or head.named or kind == "cuts":
        return kind is not None
    options = Options()
    siblings = list(_siblings(head.uri, options))
    if any(other == "cuts" for _, other in siblings):
        return False
    if kind == "supervisions":
        return any(other == "recordings" for _, other in siblings)
    supervised = {r for uri, other in siblings if other == "supervisions" for r in _recordings(uri, options)}
    return head.uri not in supervised


DIALECT = Dialect(
    name="lhotse",
    summary="manifests of lhotse: cuts, or recordings with supervisions, as JSON Lines or arrays",
    read=read,
    file=_is_lhotse,
    pattern=_SUFFIX,
)
