"""The base class of the writers, the files they share, and the conversion of labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from speechprep.artifacts import storage
from speechprep.artifacts.media.audio import decode
from speechprep.errors import BadInput
from speechprep.pipelines.export.recording import Recording, encode
from speechprep.pipelines.export.rows import Counts, Span, Utterance

Audio = Literal["path", "copy"]


@dataclass(frozen=True)
class Target:
    """Place and options of an export.

    Attributes:
        folder: local folder to write into; it is renamed to `final` at the end.
        final: folder of the finished export, absolute.
        tiers: exported tiers.
        audio: "path": the files name the recordings at their place; "copy": the recordings are copied.
        counts: rows exported, left out and changed.
    """

    folder: Path
    final: Path
    tiers: tuple[str, ...]
    audio: Audio
    counts: Counts


class Writer(ABC):
    """Writer of one format. `add` gets each recording once, in the order of their names."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.counts = target.counts
        self.tiers = target.tiers

    @abstractmethod
    def add(self, recording: Recording) -> None:
        """Write a recording, and count its rows as exported, left out or changed.

        Raises:
            BadInput: unreadable audio, before anything of the recording was written or counted.
        """

    def close(self) -> None:  # noqa: B027 - most formats need no end
        """Write the files for all recordings together."""

    def lines(self, name: str, lines: Iterable[str]) -> None:
        """Write a text file in UTF-8 with a line feed after each line."""
        path = self.target.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)

    def audio_path(self, recording: Recording) -> str:
        """Absolute path or URI of the audio of a recording: at its place, or in `audio/` of the export.

        Stored audio is always copied.

        Raises:
            BadInput: absent or unreadable audio.
        """
        _ = recording.info  # reads the header
        if recording.uri is not None and self.target.audio == "path":
            return storage.absolute(recording.uri)
        return self.store(f"audio/{recording.name}.{recording.ending()}", recording.read())

    def encoded(self, recording: Recording) -> Iterator[tuple[Utterance, bytes, str]]:
        """Each utterance with its encoded audio and the ending of its name. Unreadable ones are counted as left out."""
        for utterance in recording.utterances:
            try:
                data, ending = recording.encoded(utterance)
            except BadInput as error:
                self.counts.leave_out(utterance, error.code)
            else:
                yield utterance, data, ending

    def store(self, name: str, data: bytes) -> str:
        """Write a file of the export; returns the absolute path of the finished export."""
        path = self.target.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(self.target.final / name)

    def relative(self, path: str) -> str:
        """A path relative to the export if it is in it."""
        return path.removeprefix(f"{self.target.final}/")


class LabelWriter(Writer):
    """Base of the formats with labelled spans for each recording, without a reference to the audio."""

    def add(self, recording: Recording) -> None:
        """See `Writer`."""
        if self.target.audio == "copy":
            self.store(f"{recording.name}.{recording.ending()}", recording.read())
        if tiers := {tier: spans for tier in self.tiers if (spans := self._spans(recording, tier))}:
            self.write(recording, tiers)
        for utterance in recording.utterances:
            self.counts.count(utterance)

    @abstractmethod
    def write(self, recording: Recording, tiers: dict[str, list[tuple[Utterance, Span]]]) -> None:
        """Write the rows of one recording; no tier is empty, and no label is empty."""

    def _spans(self, recording: Recording, tier: str) -> list[tuple[Utterance, Span]]:
        spans = []
        for utterance, span in recording.spans(tier):
            text = one_line(span.text)
            if not text:
                self.counts.drop(tier, "no_text")
                continue
            self.counts.rows[tier] += 1
            self.counts.changed["whitespace"] += text != span.text
            spans.append((utterance, span._replace(text=text)))
        return spans

    def file_name(self, recording: Recording, tier: str, ending: str) -> str:
        """Name of the file of a tier; the tier is part of it if several tiers are exported."""
        return f"{recording.name}.{ending}" if len(self.tiers) == 1 else f"{recording.name}.{tier}.{ending}"


def one_line(text: str) -> str:
    """The text with a single blank for each stretch of white space and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def one_token(text: str) -> str:
    """The text without white space, for formats with fields separated by blanks."""
    return one_line(text).replace(" ", "_")


def wav(recording: Recording) -> bytes:
    """A recording as 16-bit mono WAV at its own rate."""
    return encode(decode(recording.source), recording.info.sample_rate, "WAV")
