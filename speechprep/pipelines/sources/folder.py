"""Folders of audio files, with transcripts and facts in files of the same name."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable, Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, printable
from speechprep.pipelines.sources.files import sounds_like_audio, walk
from speechprep.pipelines.sources.inventory import kind_of
from speechprep.pipelines.sources.lines import open_regular
from speechprep.pipelines.sources.timed.companions import Companions
from speechprep.pipelines.sources.timed.sidecars import described, is_sidecar_form
from speechprep.pipelines.sources.timed.transcript import utterances
from speechprep.pipelines.sources.trees.audio_names import is_audio

HEAD = 192  # bytes for the recognition of audio: one packet of an MPEG transport stream, and the next


def read(root: str, options: Options) -> Iterator[Record]:
    """One entry for each audio file, or for each segment of its transcript.

    The id is the path below the folder, without the suffix, and of a segment also its start in milliseconds.
    """
    for folder, names in walk(root):
        yield from in_folder(root, folder, names, options)


def read_files(root: str, paths: list[str], options: Options) -> Iterator[Record]:
    """Entries of chosen files below `root`, with ids as in `read`."""
    listed: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.removeprefix(root).strip("/").rpartition("/")
        if folder not in listed:
            listed[folder] = _listing(root, folder)
        beside = [other for other in listed[folder] if other != name]
        yield from in_folder(root, folder, [name, *beside], options, chosen=[name])


def _listing(root: str, folder: str) -> list[str]:
    """Names of the files beside the chosen ones, broken links included."""
    place = storage.join(root, folder) if folder else root
    return next((names for below, names in walk(place or ".") if below == ""), [])


def in_folder(
    root: str,
    folder: str,
    names: list[str],
    options: Options,
    companions: Companions | None = None,
    chosen: list[str] | None = None,
) -> Iterator[Record]:
    """Entries of one folder.

    Args:
        root: URI of the input.
        folder: path below it.
        names: names of all files in the folder.
        options: options of the stage.
        companions: transcripts in other folders.
        chosen: names of the files to read; None: all of the audio.
    """
    place = storage.join(root, folder) if folder else root
    audio = [n for n in (names if chosen is None else chosen) if chosen is not None or is_audio_file(place, n)]
    if not audio:
        return
    beside = _Beside(names)
    for name in audio:
        stem = posixpath.splitext(name)[0]
        sidecars = {ext: storage.join(place, other) for ext, other in beside.of_audio(name).items()}
        uri = storage.join(place, name)
        yield from recording(posixpath.join(folder, stem), uri, sidecars, options, companions)


def recording(
    id: str, uri: str, sidecars: dict[str, str], options: Options, companions: Companions | None = None
) -> Iterator[Record]:
    """The entry of one audio file, or the entries of its segments.

    Args:
        id: id of the whole recording.
        uri: URI of the audio.
        sidecars: ending of the name -> URI of a file beside it.
        options: options of the stage.
        companions: transcripts in other folders.
    """
    where = printable(uri)
    entry = Entry(id=id, where=where, audio=uri, place=uri)
    try:
        check_id(id)
        if not sidecars and (companions is None or not companions):
            yield entry
            return
        timed, place = described(entry, sidecars, companions, options)
    except BadInput as error:
        has_id = error.code != "bad_id"
        yield Rejected(id if has_id else where, BadInput(error.code, f"{where}: {error}"), where, claims=has_id)
        return
    if timed is None:
        yield entry
    else:
        yield from utterances(entry, timed, place, use_words=options.words == "use")


class _Beside:
    """The files beside the audio of a folder, by the first part of their name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._stems: set[str] = set()
        self._by_key: dict[str, list[str]] = {}
        for name in names:
            if is_audio(name):
                self._stems.add(_nfc(posixpath.splitext(name)[0]))
            elif is_sidecar_form(name):
                self._by_key.setdefault(_nfc(name).split(".")[0], []).append(name)

    def of_audio(self, name: str) -> dict[str, str]:
        """Ending in lower case -> name of each file that describes an audio file.

        Its name is that of the audio without suffix, or in full, or the key of a WebDataset sample: the part before the
        first dot.
        """
        stem = posixpath.splitext(_nfc(name))[0]
        key = stem.split(".")[0]
        found: dict[str, str] = {}
        for other in self._by_key.get(key, ()):
            plain = _nfc(other)
            owner = self._owner(plain)
            if owner in (stem, ""):
                ending = plain[len(stem if owner else key) + 1 :]
                first, _, rest = ending.partition(".")
                found.setdefault((rest if rest and is_audio(f".{first}") else ending).lower(), other)
        return found

    def _owner(self, name: str) -> str:
        """The longest stem of an audio file with which a name starts; empty without one."""
        stem = name
        while "." in stem:
            stem = stem.rpartition(".")[0]
            if stem in self._stems:
                return stem
        return ""


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # file systems differ in the form of accents


def is_sidecar(name: str, audio_keys: set[str]) -> bool:
    """Whether a file describes an audio file of its folder.

    Args:
        name: name of the file.
        audio_keys: parts before the first dot of the names of the audio files.
    """
    return is_sidecar_form(name) and _nfc(name).split(".")[0] in audio_keys


def is_audio_file(place: str, name: str) -> bool:
    """Whether a file of a folder is audio: by its suffix, else by its first bytes."""
    if is_audio(name):
        return True
    suffix = posixpath.splitext(name)[1]
    return (not suffix or kind_of(name) == "other") and _is_sound(storage.join(place, name))


def holds_audio(place: str, names: list[str]) -> bool:
    """Whether a folder has an audio file."""
    return any(is_audio_file(place, name) for name in names)


def _is_sound(uri: str) -> bool:
    """True where a file without the suffix of a known kind starts like audio."""
    try:
        with open_regular(uri) as file:
            return sounds_like_audio(file.read(HEAD))
    except OSError:
        return False


DIALECT = Dialect(
    name="folder",
    summary="a folder of audio files, with transcripts and facts in files of the same name",
    read=read,
    file=lambda head: sounds_like_audio(head.data) or is_audio(head.name),
    general=True,
    whole=True,
)
