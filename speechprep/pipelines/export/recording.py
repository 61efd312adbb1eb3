"""Recordings of an export: their utterances, and access to their audio."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from speechprep.artifacts import shards, storage
from speechprep.artifacts.media import audio as media
from speechprep.artifacts.media.audio import AudioInfo
from speechprep.artifacts.media.sndfile import Samples
from speechprep.artifacts.run import Dataset
from speechprep.artifacts.timebase import num_samples
from speechprep.errors import BadInput
from speechprep.pipelines.export.rows import Span, Utterance

_ENDINGS = (  # first bytes -> ending
    (b"RIFF", "wav"), (b"RF64", "wav"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"), (b"FORM", "aiff"),
    (b".snd", "au"), (b"NIST_1A", "sph"), (b"\x1a\x45\xdf\xa3", "webm"),
)  # fmt: skip
_PIECE = 1 << 20


class StoredAudio:
    """Encoded audio of the run, by shard, row group and row. Memory holds one row group."""

    def __init__(self, utterances: Dataset) -> None:
        self._utterances = utterances
        self._place: tuple[str, int] | None = None
        self._column: Any = None

    def read(self, place: tuple[str, int, int]) -> bytes:
        """The encoded file of a row."""
        shard, group, row = place
        if (shard, group) != self._place:
            with shards.opened(storage.join(self._utterances.uri, shard)) as parquet:
                self._column = parquet.read_row_group(group, columns=["audio_bytes"]).column(0)
            self._place = (shard, group)
        data: bytes | None = self._column[row].as_py()
        if data is None:
            raise BadInput("no_audio", "the utterance has no audio")
        return data


@dataclass
class Recording:
    """One recording with its utterances in order of time.

    Attributes:
        name: safe and unique.
        uri: of the audio; None if it is stored in the run.
        utterances: of the export; at least one.
        stored: access to stored audio.
    """

    name: str
    uri: str | None
    utterances: list[Utterance]
    stored: StoredAudio
    _data: bytes | None = field(default=None, repr=False)

    @property
    def source(self) -> str | bytes:
        """URI or encoded bytes, for the functions of `artifacts.media.audio`.

        Raises:
            BadInput: `no_audio`.
        """
        if self.uri is not None:
            return self.uri
        if self._data is None:
            place = self.utterances[0].place
            if place is None:
                raise BadInput("no_audio", "the utterance has no audio")
            self._data = self.stored.read(place)
        return self._data

    @cached_property
    def info(self) -> AudioInfo:
        """Facts of the header.

        Raises:
            BadInput: absent or unreadable audio.
        """
        return media.probe(self.source)

    @property
    def end(self) -> float:
        """Duration in seconds; without readable audio, the end of the last row."""
        last = max(u.offset + max([u.duration, *(word.end for word in u.words)]) for u in self.utterances)
        with suppress(BadInput):
            return max(self.info.duration, last)
        return last

    def read(self) -> bytes:
        """The encoded file."""
        if isinstance(self.source, bytes):
            return self.source
        with media.opened(self.source) as file:
            return file.read()

    def ending(self) -> str:
        """Ending of the file name, by the content; else the ending of the URI."""
        with media.opened(self.source) as file:
            head = file.read(16)
        if head[4:8] == b"ftyp":
            return "m4a"
        if head[:1] == b"\xff":
            return "aac" if head[1:2] and head[1] & 0xF6 == 0xF0 else "mp3"
        known = next((ending for magic, ending in _ENDINGS if head.startswith(magic)), None)
        named = PurePosixPath(self.uri or "").suffix.lower().removeprefix(".")
        if known == "ogg" and named in ("opus", "oga"):
            return named
        return known or (named if named.isalnum() else "audio")

    def is_whole(self, utterance: Utterance) -> bool:
        """True if the utterance is the whole recording."""
        rate = self.info.sample_rate
        return num_samples(utterance.offset, rate) == 0 and num_samples(utterance.duration, rate) >= self.info.frames

    def samples(self, utterance: Utterance, sample_rate: int | None = None) -> Samples:
        """Mono samples (n,) of an utterance."""
        return media.decode(self.source, utterance.offset, utterance.duration, sample_rate)

    def encoded(self, utterance: Utterance) -> tuple[bytes, str]:
        """The audio of an utterance as an encoded file, and the ending of its name: the file as it is if the
        utterance is the whole recording, else 16-bit mono FLAC."""
        if self.is_whole(utterance):
            return self.read(), self.ending()
        return encode(self.samples(utterance), self.info.sample_rate, "FLAC"), "flac"

    def spans(self, tier: str) -> Iterator[tuple[Utterance, Span]]:
        """Rows of a tier in seconds from the start of the recording, in order of time."""
        rows = [(u, Span(u.offset + s.start, u.offset + s.end, s.text)) for u in self.utterances for s in u.spans(tier)]
        yield from sorted(rows, key=lambda row: row[1][:2])


def encode(samples: Samples, sample_rate: int, form: str) -> bytes:
    """Mono samples (n,) in [-1, 1] as a 16-bit file: "FLAC" or "WAV"."""
    import soundfile

    file = io.BytesIO()
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    soundfile.write(file, pcm, sample_rate, format=form, subtype="PCM_16")
    return file.getvalue()


def recordings(utterances: Iterator[Utterance], stored: StoredAudio) -> Iterator[Recording]:
    """Recordings of utterances sorted by recording, offset and id."""
    for name, group in groupby(utterances, key=lambda utterance: utterance.recording):
        rows = list(group)
        yield Recording(name, rows[0].audio, rows, stored)
