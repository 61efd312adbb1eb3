"""Timed transcripts in columns: CTM and STM of NIST, labels of Audacity, the table of Whisper, `.wrd` of TIMIT."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from speechprep.errors import BadInput
from speechprep.pipelines.sources.timed.transcript import Segment, Timed, Word

TIMIT_RATE = 16_000  # Hz, of the sample numbers in TIMIT
_SKIPPED = ("ignore_time_segment_in_scoring", "inter_segment_gap", "<>")


def ctm(text: str) -> dict[str, Timed]:
    """Recording -> words, from `recording channel start duration word [confidence]`.

    Raises:
        BadInput: `bad_transcript` with the line.
    """
    rows = [(number, cells) for number, cells in _rows(text, 5)]
    channels = _channels([(cells[0], cells[1]) for _, cells in rows])
    words: dict[tuple[str, int | None], list[Word]] = {}
    for number, cells in rows:
        start, duration = _number(cells[2], number), _number(cells[3], number)
        key = _recording(cells[0]), channels[cells[0], cells[1]]
        words.setdefault(key, []).append((cells[4], start, start + duration))
    return _by_recording(words)


def stm(text: str) -> dict[str, Timed]:
    """Recording -> segments, from `recording channel speaker start end [<labels>] text`.

    Raises:
        BadInput: `bad_transcript` with the line.
    """
    rows = [(number, cells) for number, cells in _rows(text, 5, most=6)]
    channels = _channels([(cells[0], cells[1]) for _, cells in rows])
    result: dict[str, Timed] = {}
    for number, cells in rows:
        said = cells[5].strip() if len(cells) > 5 else ""
        if said.startswith("<") and ">" in said:
            said = said.partition(">")[2].strip()
        if said.lower() in _SKIPPED or cells[2] == "inter_segment_gap":
            continue
        start, end = _number(cells[3], number), _number(cells[4], number)
        segment = Segment(start, end, said, cells[2], channels[cells[0], cells[1]])
        result.setdefault(_recording(cells[0]), Timed()).segments.append(segment)
    return result


def is_ctm(lines: list[str]) -> bool:
    """Whether lines are CTM."""
    return _fits(lines, 5, (2, 3))


def is_stm(lines: list[str]) -> bool:
    """Whether lines are STM."""
    return _fits(lines, 5, (3, 4))


def _fits(lines: list[str], least: int, numbers: tuple[int, int]) -> bool:
    rows = [line.split() for line in lines if not line.startswith(";;")]
    try:
        return bool(rows) and all(len(r) >= least and [float(r[n]) for n in numbers] for r in rows)
    except ValueError:
        return False


def labels(text: str) -> Timed | None:
    """Labels of Audacity: `start <tab> end <tab> text`; None for other text.

    Labels of one token each are words; else each label is a segment.
    """
    spans: list[Word] = []
    for line in text.splitlines():
        cells = line.split("\t")
        try:
            if len(cells) == 3:
                spans.append((cells[2], float(cells[0]), float(cells[1])))
            elif line.strip() and not line.startswith("\\"):  # a frequency range of a spectral selection
                return None
        except ValueError:
            return None
    if not spans:
        return None
    if all(len(span[0].split()) == 1 for span in spans):
        return Timed(words=spans)
    return Timed([Segment(start, end, text) for text, start, end in spans])


def whisper_table(text: str) -> Timed | None:
    """The `.tsv` of Whisper: start and end in milliseconds, and text; None for other tables."""
    lines = text.splitlines()
    if not lines or [cell.strip().lower() for cell in lines[0].split("\t")] != ["start", "end", "text"]:
        return None
    segments = []
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            cells = line.split("\t", 2)
            if len(cells) < 3:
                raise BadInput("bad_transcript", f"line {number}: {len(cells)} cells in place of 3; correct it")
            start, end = _number(cells[0], number) / 1000, _number(cells[1], number) / 1000
            segments.append(Segment(start, end, cells[2]))
    return Timed(segments)


def timit_words(text: str) -> list[Word]:
    """Words of a `.wrd` file: `first sample, last sample, word`, at 16 kHz.

    Raises:
        BadInput: `bad_transcript` with the line.
    """
    return [
        (cells[2], _number(cells[0], number) / TIMIT_RATE, _number(cells[1], number) / TIMIT_RATE)
        for number, cells in _rows(text, 3, most=3)
    ]


def timit_text(text: str) -> str:
    """Text of a `.txt` file of TIMIT: behind the first and the last sample."""
    cells = text.split(None, 2)
    return cells[2] if len(cells) == 3 and cells[0].isdigit() and cells[1].isdigit() else text


def _rows(text: str, least: int, most: int = 0) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith((";;", "#")):
            cells = line.split(None, most - 1) if most else line.split()
            if len(cells) < least:
                raise BadInput("bad_transcript", f"line {number}: {len(cells)} columns, {least} are needed; correct it")
            yield number, cells


def _number(cell: str, number: int) -> float:
    try:
        return float(cell)
    except ValueError:
        raise BadInput("bad_transcript", f"line {number}: {cell[:40]!r} is not a time; correct it") from None


def _recording(name: str) -> str:
    """Name of a recording without folders and suffix."""
    base = posixpath.basename(name)
    stem, suffix = posixpath.splitext(base)
    return stem if suffix.lower() in (".wav", ".flac", ".sph", ".mp3", ".ogg") else base


def _channels(named: list[tuple[str, str]]) -> dict[tuple[str, str], int | None]:
    """(recording, channel) -> number of the channel from 0; None for a recording with one channel.

    Letters count from A and numbers from 1; a file with a channel 0 counts from 0.
    """
    of_recording: dict[str, set[str]] = {}
    for recording, channel in named:
        of_recording.setdefault(recording, set()).add(channel)
    first = 0 if any("0" in channels for channels in of_recording.values()) else 1
    numbers: dict[tuple[str, str], int | None] = {}
    for recording, channels in of_recording.items():
        for channel in channels:
            letter = channel.upper()
            number = int(channel) - first if channel.isdecimal() else ord(letter) - 65 if letter in "ABCDEFGH" else 0
            alone = len(channels) == 1 and number <= 0
            numbers[recording, channel] = None if alone else max(number, 0)
    return numbers


def _by_recording(words: dict[tuple[str, int | None], list[Word]]) -> dict[str, Timed]:
    """Recording -> words; several channels are segments of their own."""
    result: dict[str, Timed] = {}
    for (recording, channel), spoken in words.items():
        timed = result.setdefault(recording, Timed())
        if channel is None:
            timed.words += spoken
        else:
            start, end = min(w[1] for w in spoken), max(w[2] for w in spoken)
            timed.segments.append(Segment(start, end, None, None, channel, words=sorted(spoken, key=lambda w: w[1])))
    return result
