"""Manifest records with the name of a transcript file: its segments become utterances."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected
from speechprep.pipelines.sources.fields import Fields, from_fields, normalise, reject
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.timed.sidecars import described, is_sidecar_form
from speechprep.pipelines.sources.timed.transcript import Timed, utterances
from speechprep.pipelines.sources.trees import tree

_FILE = re.compile(r"[^\n]*\.(textgrid|eaf|srt|vtt|ass|ssa|ctm|stm|json|tsv|txt|lab)", re.IGNORECASE)


def to_records(row: Mapping[str, Any], base: Base, where: str, options: Options) -> Iterator[Record]:
    """The entries of a manifest record, or a reject with the reason.

    A record has one entry; a record with the name of a timed transcript has one for each of its segments.
    """
    fields = normalise(row, options)
    named = _transcript(fields, base)
    if named is None:
        yield from_fields(fields, base, where, options)
        return
    entry = from_fields(fields, base, where, options)
    if isinstance(entry, Rejected):
        yield entry
        return
    try:
        uri = base.resolve(named)
        if not is_sidecar_form(uri):
            raise BadInput("bad_transcript", f"the form of {named!r} is not known; use TextGrid, SRT, VTT, EAF or text")
        timed, place = described(entry, {uri.rpartition(".")[2].lower(): uri}, None, options)
    except BadInput as error:
        yield reject(fields, error, where)
        return
    if timed is None:
        yield entry
        return
    if entry.offset is not None:
        timed, entry.offset = _inside(timed, entry), entry.offset if not timed.segments else None
    yield from utterances(entry, timed, place, use_words=options.words == "use")


def _transcript(fields: Fields, base: Base) -> str | None:
    """The path of the transcript file of a record; it is removed from the fields.

    A value without the suffix of a transcript and without a file is a description, for example "alignment": "by hand".
    """
    path = fields.pop("transcript_file", None)
    if isinstance(path, str) and path.strip() and (_FILE.fullmatch(path.strip()) or _is_file(path.strip(), base)):
        return path
    text = fields.get("text")
    if not isinstance(text, str) or _FILE.fullmatch(text.strip()) is None or not _is_file(text.strip(), base):
        return None
    del fields["text"]
    return text.strip()


def _is_file(path: str, base: Base) -> bool:
    try:
        return tree.is_file(base.resolve(path))
    except BadInput:
        return False


def _inside(timed: Timed, entry: Entry) -> Timed:
    """The segments and words with their midpoint in the segment of the entry."""
    start = entry.offset or 0.0
    stop = start + entry.duration if entry.duration is not None else float("inf")
    segments = [s for s in timed.segments if start <= (s.start + s.end) / 2 < stop]
    shift = 0.0 if segments else start
    words = [(w, a - shift, b - shift) for w, a, b in timed.words if start <= (a + b) / 2 < stop]
    return Timed(segments, words, timed.language, timed.speaker)
