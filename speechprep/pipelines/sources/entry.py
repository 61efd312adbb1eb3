"""Entries and rejects: the common form of all inputs.

An entry has the id of an utterance and the place of its audio. The audio is not read yet.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import pyarrow as pa

from speechprep.artifacts.schemas import UTTERANCES
from speechprep.errors import BadInput

MAX_ID = 512  # characters
_NEWLINES = re.compile(r"\s*[\n\r\v\f\x85\u2028\u2029]\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")

# One row of a shard's listing: an Entry, see there.
ENTRIES = pa.schema(
    [
        *(UTTERANCES.field(name) for name in ("id", "audio", "offset", "duration", "text", "speaker", "language")),
        *(UTTERANCES.field(name) for name in ("split", "licence", "corpus", "captions", "labels", "words")),
        pa.field("archive", pa.string()),
        pa.field("member", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("where", pa.string()),
        pa.field("channel", pa.int32()),
        pa.field("source_times", pa.bool_()),
        pa.field("place", pa.string()),
    ]
)


# Columns with the name of a file with the transcript.
TRANSCRIPT_FILES = (
    *(f"{name}_{what}" for name in ("transcript", "transcription", "text", "txt") for what in ("file", "path")),
    *(f"{form}{what}" for form in ("textgrid", "srt", "vtt", "ctm", "stm", "eaf") for what in ("", "_file", "_path")),
    *("subtitles", "subtitle", "subtitle_path", "alignment", "alignment_file", "alignment_path"),
)

# In order of preference: NeMo, Hugging Face, Common Voice, LJSpeech, ESPnet, lhotse and everyday names.
ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("id", "utt_id", "utterance_id", "uttid", "key", "__key__"),
    "audio": (
        *("audio", "audio_filepath", "audio_path", "audio_file", "path", "file", "file_name", "filename", "wav"),
        *("wav_path", "wav_filename", "flac", "mp3"),
    ),
    "offset": ("offset", "offset_s"),
    "start": ("start", "start_time", "begin", "begin_time", "start_s"),
    "end": ("end", "end_time", "stop", "stop_time", "end_s"),
    "duration": ("duration", "duration_s"),
    "start_sample": ("start_sample", "sample_offset", "offset_samples", "start_frame", "frame_offset"),
    "end_sample": ("end_sample", "end_frame"),
    "num_samples": ("num_samples", "n_samples", "num_frames", "n_frames"),
    "start_ms": ("start_ms", "offset_ms", "start_time_ms", "begin_ms"),
    "end_ms": ("end_ms", "end_time_ms", "stop_ms"),
    "sample_rate": ("sample_rate", "sampling_rate", "sr"),
    "channel": ("channel", "channel_selector", "channel_id", "audio_channel"),
    "text": ("text", "normalized_text", "sentence", "transcript", "transcription", "tgt_text", "txt"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk"),
    "language": ("language", "lang", "locale"),
    "split": ("split",),
    "licence": ("licence", "license"),
    "corpus": ("corpus",),
    "words": ("words",),
    "transcript_file": TRANSCRIPT_FILES,
    "captions": ("captions", "caption", "title", "description"),
    "labels": ("labels", "label", "tags"),
}
LISTS = frozenset({"captions", "labels"})
_LATER = ("where", "channel", "source_times", "place")  # not in the keys of shards
MAX_RANK = 1 + max(map(len, ALIASES.values()))


class Ledger(Protocol):
    """Receiver of the files that a dialect reads and leaves; see `inventory.Inventory`."""

    def use(self, uri: str, kind: str) -> None:
        """A file that is read."""

    def leave(self, name: str, kind: str, reason: str) -> None:
        """A file that is not read."""

    def archive(self, uri: str) -> None:
        """An archive whose members are counted."""


class NoLedger:
    """Ledger for callers without an interest in the files."""

    def use(self, uri: str, kind: str) -> None:
        """Does nothing."""

    def leave(self, name: str, kind: str, reason: str) -> None:
        """Does nothing."""

    def archive(self, uri: str) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class Options:
    """Options for the input; see `ingest.Config`.

    Attributes:
        ledger: receiver of the files that are read and left.
        search: search of audio files in the input; None: no search.
    """

    audio_root: str | None = None
    words: Literal["use", "ignore"] = "use"
    archive_ids: bool = False
    columns: dict[str, str] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=NoLedger, compare=False)
    search: Any = field(default=None, compare=False)

    @cached_property
    def naming(self) -> dict[str, list[tuple[str, int]]]:
        """Column -> its fields, each with the rank of the column among the field's names."""
        fields_of: dict[str, list[tuple[str, int]]] = {}
        for name, aliases in ALIASES.items():
            for rank, column in enumerate((self.columns[name],) if name in self.columns else aliases):
                fields_of.setdefault(column, []).append((name, rank))
        return fields_of


@dataclass(slots=True)
class Entry:
    """An utterance before its audio is read.

    Attributes:
        id: unique in the dataset. Empty: derived from `place`.
        where: its place in the input ("manifest.jsonl:12"), for messages.
        audio: URI of the audio file, or of its archive; empty: text without audio.
        offset: seconds from the start of the file; None: the whole file is the utterance, and `duration` is unverified.
        words: {text, start, end} in seconds from the start of the utterance.
        archive: dialect of the container ("tar", "zip", "parquet", "arrow") if `audio` is one; `member` is then the
            name of the audio in it, `start` the byte offset or row, `size` its bytes.
        channel: the channel of the audio that is the utterance, from 0; None: the mean of all channels.
        source_times: the segment is given by its start and end. They may be times of a recording whose cut is the file.
        place: URI of the file with the record, and its row or member, for a derived id; None for an id of the corpus. A
            derived id that is not unique is replaced by the place, relative to the folder of all inputs.
        order: sort key before the id: the position in an archive, for reading front to back.
    """

    id: str
    where: str
    audio: str
    offset: float | None = None
    duration: float | None = None
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    split: str | None = None
    licence: str | None = None
    corpus: str | None = None
    captions: list[str] | None = None
    labels: list[str] | None = None
    words: list[dict[str, Any]] | None = None
    archive: str | None = None
    member: str | None = None
    start: int | None = None
    size: int | None = None
    channel: int | None = None
    source_times: bool = False
    place: str | None = None
    order: str = ""

    def row(self) -> dict[str, Any]:
        """As a row of ENTRIES."""
        return {name: getattr(self, name) for name in ENTRIES.names}

    def digest(self, stamp: str) -> bytes:
        """Digest of 16 bytes over everything with an influence on the utterance; `stamp` stands for the audio's
        content."""
        facts = [getattr(self, name) for name in ENTRIES.names if name not in _LATER]
        if self.channel is not None:  # absent otherwise, as in the keys of earlier versions
            facts.append(self.channel)
        return hashlib.blake2b(repr((facts, stamp)).encode(), digest_size=16).digest()


@dataclass(slots=True)
class Rejected:
    """A rejected record. `claims`: the record has an id, so another record with this id is a duplicate."""

    id: str
    error: BadInput
    audio: str | None = None
    claims: bool = False


Record = Entry | Rejected


def printable(text: str, limit: int = 200) -> str:
    """Text for any terminal and any table: no control characters, no lone surrogates, limited length."""
    text = text if len(text) <= limit else text[:limit] + "..."
    text = _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", text)
    return text.encode("utf-8", "backslashreplace").decode()


def check_id(id: str) -> str:
    """The id after a check: usable on any file system and in any table.

    Raises:
        BadInput: `bad_id`.
    """
    fault = None
    if id.isprintable() and len(id) <= MAX_ID and ".." not in id and id[:1] not in ("", " ", "/", "\\"):
        return id
    if not id.strip():
        fault = "is empty"
    elif len(id) > MAX_ID:
        fault = f"has {len(id)} characters; at most {MAX_ID} are allowed"
    elif _CONTROL.search(id):
        fault = "holds control characters"
    elif id.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", id):
        fault = "looks like a path out of the folder ('/' in front or '..' inside)"
    elif not storable(id):
        fault = "is not valid Unicode (a file name of another encoding?)"
    if fault:
        raise BadInput("bad_id", f"the id {printable(id)!r} {fault}; rename it")
    return id


def storable(text: str) -> bool:
    """False for lone surrogates: they cannot be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean_text(text: str, what: str = "text") -> str:
    """Text as it is, without outer whitespace, newlines as spaces.

    Raises:
        BadInput: `text_encoding` for lone surrogates and control characters, signs of a wrong encoding.
    """
    text = text.strip()
    if text.isprintable():
        return text
    text = _NEWLINES.sub(" ", text)
    if not storable(text) or _CONTROL_IN_TEXT.search(text):
        raise BadInput(
            "text_encoding",
            f"{what} {printable(text, 60)!r} holds bytes that are not UTF-8 or control characters; "
            "save the file as UTF-8",
        )
    return text
