"""Folders of audio files, optionally with transcripts beside them (same name, .normalized.txt, .lab or .txt)."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.files import is_audio, is_listed, sounds_like_audio, walk
from speechprep.pipelines.sources.inventory import kind_of
from speechprep.pipelines.sources.lines import decoded, open_regular

TRANSCRIPTS = (".normalized.txt", ".lab", ".txt")  # LibriTTS; MFA and Kaldi-like corpora; other corpora
MAX_TRANSCRIPT = 1 << 20  # bytes
HEAD = 192  # bytes for the recognition of audio: one packet of an MPEG transport stream, and the next


def read(root: str, options: Options) -> Iterator[Record]:
    """One entry for each audio file; its id is its path below the folder, without the suffix."""
    for folder, names in walk(root):
        yield from in_folder(root, folder, names, options)


def read_files(root: str, paths: list[str], options: Options) -> Iterator[Record]:
    """Entries of chosen files below `root`, with ids as in `read`."""
    for path in paths:
        folder, _, name = path.removeprefix(root).strip("/").rpartition("/")
        stem = posixpath.splitext(name)[0]
        beside = [stem + s for s in TRANSCRIPTS if is_listed(storage.join(root, *_parts(folder), stem + s))]
        yield from in_folder(root, folder, [name, *beside], options)


def in_folder(root: str, folder: str, names: list[str], options: Options) -> Iterator[Record]:
    """Entries of one folder, from its file names."""
    there = {unicodedata.normalize("NFC", name): name for name in names}
    place = storage.join(root, *_parts(folder))
    for name in names:
        stem, suffix = posixpath.splitext(name)
        if is_audio(name) or ((not suffix or kind_of(name) == "other") and _is_sound(storage.join(place, name))):
            same_name = unicodedata.normalize("NFC", stem)  # file systems differ in the form of accents
            transcript = next((there[same_name + s] for s in TRANSCRIPTS if same_name + s in there), None)
            if transcript:
                options.ledger.use(storage.join(place, transcript), "transcript")
            yield _entry(posixpath.join(folder, stem), storage.join(place, name), place, transcript)


def _entry(id: str, uri: str, place: str, transcript: str | None) -> Record:
    where = printable(uri)
    try:
        text = read_transcript(storage.join(place, transcript)) if transcript else None
        return Entry(id=check_id(id), where=where, audio=uri, text=text, place=uri)
    except BadInput as error:
        has_id = error.code != "bad_id"
        return Rejected(id if has_id else where, error, where, claims=has_id)


def read_transcript(uri: str) -> str | None:
    """The text of a small file; None for an empty one.

    Raises:
        BadInput: `text_encoding` or `bad_transcript`.
    """
    try:
        with open_regular(uri) as file:
            data = file.read(MAX_TRANSCRIPT + 1)
    except OSError as error:
        raise unreadable_transcript(uri, error) from None
    if len(data) > MAX_TRANSCRIPT:
        raise BadInput(
            "bad_transcript", f"{uri} is larger than {MAX_TRANSCRIPT >> 20} MiB, the limit of a transcript; shorten it"
        )
    return clean_text(decoded(data), posixpath.basename(uri)) or None


def unreadable_transcript(uri: str, error: OSError) -> BadInput:
    """The reason of a reject for a transcript that cannot be opened or read."""
    reason = error.strerror or error
    return BadInput("bad_transcript", f"the transcript {printable(uri)} cannot be read ({reason}); repair or remove it")


def _is_sound(uri: str) -> bool:
    """True where a file without the suffix of a known kind starts like audio."""
    try:
        with open_regular(uri) as file:
            return sounds_like_audio(file.read(HEAD))
    except OSError:
        return False


def _parts(folder: str) -> list[str]:
    return [folder] if folder else []


DIALECT = Dialect(
    name="folder",
    summary="a folder of audio files, transcripts beside them (same name; .normalized.txt, .lab or .txt)",
    read=read,
    rank=30,
    whole_folder=True,
    file=lambda head: sounds_like_audio(head.data) or is_audio(head.name),
    below=lambda names: any(is_audio(name) for name in names),
)
