"""The LJSpeech layout: `metadata.csv` with `id|text|normalised text`, audio in `wavs/`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.files import is_audio, names_in
from speechprep.pipelines.sources.manifests.table import cells

METADATA = "metadata.csv"


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a metadata file; with the normalised text (numbers spelled out) if present."""
    wavs = storage.join(posixpath.dirname(uri), "wavs")
    audio: dict[str, list[str]] = {}
    for name in names_in(wavs):
        if is_audio(name):
            audio.setdefault(posixpath.splitext(name)[0], []).append(name)
    for where, row in cells(uri, "|"):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
            continue
        try:
            yield from _entries(row, where, wavs, audio)
        except BadInput as error:
            has_id = error.code not in ("bad_id", "bad_row")
            yield Rejected(printable(row[0].strip()) if has_id else where, error, claims=has_id)


def _entries(row: list[str], where: str, wavs: str, audio: dict[str, list[str]]) -> Iterator[Entry]:
    if len(row) < 2:
        raise BadInput("bad_row", f"{where}: {len(row)} cells; id|text or id|text|normalised text is needed")
    id = check_id(row[0].strip())
    text = clean_text(row[2] if len(row) > 2 and row[2].strip() else row[1])
    if id not in audio:
        raise BadInput("audio_missing", f"{where}: no audio file {id}.* in {wavs}")
    for name in audio[id]:  # more than one is refused as a duplicate id
        yield Entry(id=id, where=where, audio=storage.join(wavs, name), text=text)


DIALECT = Dialect(
    name="ljspeech",
    summary="the LJSpeech release: metadata.csv with id|text|normalised text, audio in wavs/",
    read=read,
    rank=80,
    file=lambda head: head.first_line.count("|") in (1, 2),
    pattern=re.compile(r"metadata\.csv$"),
    manifests=(METADATA,),
)
