"""The LibriSpeech layout: folders of audio with `*.trans.txt`, each line an id and its transcript."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.files import walk
from speechprep.pipelines.sources.lines import open_regular, read_lines
from speechprep.pipelines.sources.timed.sidecars import unreadable_transcript
from speechprep.pipelines.sources.trees.audio_names import is_audio

SUFFIX = ".trans.txt"
_SPLIT = re.compile(r"(train|dev|test)([-_.].*)?$")


def read(root: str, options: Options) -> Iterator[Record]:
    """One entry for each audio file, with its line of the transcript; the id is that of the release."""
    for folder, names in walk(root):
        if folder:
            return
        place = root
        audio: dict[str, list[str]] = {}
        for name in names:
            if is_audio(name):
                audio.setdefault(posixpath.splitext(name)[0], []).append(name)
        for name in names:
            if name.endswith(SUFFIX):
                options.ledger.use(storage.join(place, name), "transcript")
                yield from _transcribed(place, name, audio)
        for id, untranscribed in audio.items():
            for name in untranscribed:
                yield _record(id, storage.join(place, name), storage.join(place, name), None)


def _transcribed(place: str, transcript: str, audio: dict[str, list[str]]) -> Iterator[Record]:
    uri = storage.join(place, transcript)
    try:
        open_regular(uri).close()
    except OSError as failure:
        yield Rejected(printable(transcript), unreadable_transcript(uri, failure))
        return
    try:
        for number, line in read_lines(uri):
            where = f"{transcript}:{number}"
            id, _, text = line.decode("utf-8", "surrogateescape").partition(" ")
            names = audio.pop(id, [])
            for name in names:
                yield _record(id, where, storage.join(place, name), text)
            if not names:
                error = BadInput("audio_missing", f"{where}: no audio file {printable(id)}.* in {place}")
                yield Rejected(printable(id), error, claims=True)
    except BadInput as error:
        yield Rejected(transcript, error)


def _record(id: str, where: str, uri: str, text: str | None) -> Record:
    try:
        return Entry(
            id=check_id(id),
            where=printable(where),
            audio=uri,
            text=(clean_text(text) or None) if text is not None else None,
            speaker=_speaker(id),
            split=_split(uri),
        )
    except BadInput as error:
        return Rejected(
            printable(id), BadInput(error.code, f"{printable(where)}: {error}"), printable(uri), claims=True
        )


def _speaker(id: str) -> str | None:
    parts = id.split("-")
    return parts[0] if len(parts) > 2 and parts[0] else None


def _split(uri: str) -> str | None:
    """The part of the corpus, from the folder names (train-clean-100, dev-other, ...)."""
    return next((part for part in reversed(uri.split("/")[:-1]) if _SPLIT.match(part)), None)


DIALECT = Dialect(
    name="librispeech",
    summary="a release of LibriSpeech: folders of audio with *.trans.txt",
    read=read,
    folder=lambda folder: any(name.endswith(SUFFIX) for name in folder.names),
)
