"""Timed transcript of a recording, and its utterances.

Segments become utterances, each with the words inside it. Without segments the whole recording is one utterance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from speechprep.artifacts.languages import language_code
from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import Entry, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.selection import MAX_SECONDS

Word = tuple[str, float, float]  # text, start and end in seconds from the start of the recording


@dataclass(slots=True)
class Segment:
    """A segment of a recording: start and end in seconds, text, and the words if their times are given."""

    start: float
    end: float
    text: str | None = None
    speaker: str | None = None
    channel: int | None = None
    language: str | None = None
    words: list[Word] = field(default_factory=list)


@dataclass(slots=True)
class Timed:
    """Timed transcript of one recording.

    Attributes:
        segments: segments in any order; empty: the recording is one utterance.
        words: words with their times that belong to no segment yet.
        language: language of all segments without one.
        speaker: speaker of the recording without segments.
    """

    segments: list[Segment] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    language: str | None = None
    speaker: str | None = None

    def add(self, other: Timed) -> None:
        """Add the segments and words of another file about the same recording."""
        self.segments += other.segments
        self.words += other.words
        self.language = self.language or other.language


def utterances(entry: Entry, timed: Timed, place: str, *, use_words: bool) -> Iterator[Record]:
    """The utterances of a recording.

    Args:
        entry: the recording as one utterance; its fields are those of the segments, too.
        timed: its timed transcript.
        place: URI of the file with the transcript.
        use_words: False: word times are ignored.
    """
    segments = sorted(timed.segments, key=lambda segment: (segment.start, segment.end))
    words = sorted(timed.words, key=lambda word: (word[1], word[2]))
    language = entry.language or language_code(timed.language)
    if not segments:
        try:
            yield _whole(entry, words, timed, language, use_words=use_words)
        except BadInput as error:
            where = entry.id or entry.where
            yield Rejected(where, BadInput(error.code, f"{printable(place)}: {error}"), entry.audio, bool(entry.id))
        return
    if words:
        _distribute(segments, words)
    for number, segment in enumerate(segments):
        if (segment.text is None or not segment.text.strip()) and not segment.words:
            continue  # a pause
        try:
            yield _of_segment(entry, segment, language, f"{place}-{number:08d}", use_words=use_words)
        except BadInput as error:
            where = f"{printable(place)}-{number:08d}"
            yield Rejected(where, BadInput(error.code, f"{where}: {error}"), entry.audio)


def _whole(entry: Entry, words: list[Word], timed: Timed, language: str | None, *, use_words: bool) -> Record:
    text = entry.text
    if not text and words:
        text = clean_text(" ".join(word[0] for word in words))
    given = _relative(words, 0.0) if use_words else None
    speaker = entry.speaker or (clean_text(timed.speaker) if timed.speaker else None)
    return replace(entry, text=text or None, words=entry.words or given, language=language, speaker=speaker)


def _of_segment(entry: Entry, segment: Segment, language: str | None, place: str, *, use_words: bool) -> Entry:
    start, end = _seconds(segment.start), _seconds(segment.end)
    if not end > start or start < 0:
        raise BadInput("bad_field", f"the segment from {start:g} s to {end:g} s is empty; correct its times")
    text = segment.text
    if (text is None or not text.strip()) and segment.words:
        text = " ".join(word[0] for word in segment.words)
    return replace(
        entry,
        id=check_id(f"{entry.id}@{round(start * 1000):08d}"),
        place=place,
        offset=start,
        duration=end - start,
        text=clean_text(text or "") or None,
        speaker=clean_text(segment.speaker) if segment.speaker else entry.speaker,
        language=language_code(segment.language) or language,
        channel=segment.channel if segment.channel is not None else entry.channel,
        words=_relative(segment.words, start) if use_words else None,
    )


def _seconds(value: float) -> float:
    if not (math.isfinite(value) and abs(value) <= MAX_SECONDS):
        raise BadInput("bad_field", f"{value!r} is not a time in seconds; correct it")
    return float(value)


def _relative(words: list[Word], start: float) -> list[dict[str, Any]] | None:
    """Words with times from the start of the utterance; up to a tenth of a second before it is moved to it."""
    given = [
        {"text": clean_text(text), "start": _from(a, start), "end": max(_from(b, start), _from(a, start))}
        for text, a, b in words
        if text.strip()
    ]
    return given or None


def _from(time: float, start: float) -> float:
    difference = round(time - start, 9)
    return 0.0 if -0.1 <= difference < 0 else difference


def _distribute(segments: list[Segment], words: list[Word]) -> None:
    """Give each word to the first segment with its midpoint, or to the nearest one; segments with words keep theirs."""
    free = [segment for segment in segments if not segment.words]
    first = 0
    for word in words:
        middle = (word[1] + word[2]) / 2
        while first < len(free) - 1 and free[first].end < middle and free[first + 1].start <= middle:
            first += 1
        if free:
            free[first].words.append(word)
