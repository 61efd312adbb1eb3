"""The VCTK layout: texts in `txt/p225/p225_001.txt`, audio in `wav48/` or `wav48_silence_trimmed/`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect, Folder
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.files import walk
from speechprep.pipelines.sources.timed.sidecars import read_text
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio

_AUDIO = ("wav48_silence_trimmed", "wav48", "wav16")
_MICROPHONE = re.compile(r"_mic\d+$")


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each audio file; both microphones of version 0.92 have the same text."""
    for part in _AUDIO:
        place = storage.join(uri, part)
        if not tree.is_dir(place):
            continue
        for folder, names in walk(place):
            for name in names:
                if is_audio(name):
                    yield _record(uri, storage.join(place, folder) if folder else place, name, options)


def _record(root: str, place: str, name: str, options: Options) -> Record:
    id = posixpath.splitext(name)[0]
    audio = storage.join(place, name)
    speaker = posixpath.basename(place)
    text = storage.join(root, "txt", speaker, _MICROPHONE.sub("", id) + ".txt")
    try:
        spoken = None
        if tree.is_file(text):
            spoken = clean_text(read_text(text), posixpath.basename(text)) or None
            options.ledger.use(text, "transcript")
        return Entry(
            id=check_id(id),
            where=printable(audio),
            audio=audio,
            text=spoken,
            speaker=speaker,
            language="en",
            place=audio,
        )
    except BadInput as error:
        return Rejected(printable(id), BadInput(error.code, f"{printable(audio)}: {error}"), printable(audio))


def _is_vctk(folder: Folder) -> bool:
    return folder.has_folder("txt") and any(folder.has_folder(part) for part in _AUDIO)


DIALECT = Dialect(
    name="vctk",
    summary="a release of VCTK: txt/ and wav48/ or wav48_silence_trimmed/",
    read=read,
    folder=_is_vctk,
    subtree=True,
)
