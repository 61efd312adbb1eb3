"""Reader of Praat TextGrid files and of NIST CTM files: the word times in them.

Of a TextGrid, the long and the short text format are read (Praat manual, "TextGrid file formats"). Both hold the same
values in the same order, and the long format adds names of fields. So a reader of the free-standing values reads both.
praatio is not used here: it reads a file that was cut off without an error, and a reference must be complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from speechprep.errors import BadInput

WORD_TIERS = ("words", "word")

_VALUE = re.compile(r'"(?P<text>(?:[^"]|"")*)"|(?<![\w.\[])(?P<number>-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w\]])')


class Timed(NamedTuple):
    """A word with its start and end in seconds."""

    text: str
    start: float
    end: float


def decoded(data: bytes, where: str) -> str:
    """Text of a file in UTF-8, or in UTF-16 with a byte-order mark, as Praat writes it.

    Raises:
        BadInput: `bad_word_times`: another encoding.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInput("bad_word_times", f"{where}: not {encoding} text ({error.reason}); save it as UTF-8") from None


def textgrid_words(text: str, where: str) -> list[Timed]:
    """Intervals of the word tier, those without a label included.

    The word tier is named `words` or `word` in any case, alone or after the name of a speaker ("anna - words"). The
    tiers of several speakers are merged in the order of time. A file with one interval tier needs no such name.

    Args:
        text: content of the file.
        where: its name, for messages.

    Raises:
        BadInput: `bad_word_times`: not a TextGrid in a text format, cut off, or without a word tier.
    """
    if "ooTextFile" not in text[:100] or "TextGrid" not in text[:200]:
        raise BadInput("bad_word_times", f"{where}: not a TextGrid in a text format; save it as text in Praat")
    try:
        tiers = list(_tiers(_values(text)))
    except (StopIteration, ValueError, RuntimeError):
        raise BadInput("bad_word_times", f"{where}: the TextGrid is cut off or damaged; save it again") from None
    named = [words for name, words in tiers if re.split(r"\s*-\s*", name.strip().lower())[-1] in WORD_TIERS]
    if not named and len(tiers) == 1:
        named = [tiers[0][1]]
    if not named:
        names = ", ".join(repr(name) for name, _ in tiers) or "none"
        raise BadInput("bad_word_times", f"{where}: no interval tier 'words'; its interval tiers: {names}; rename one")
    return sorted((word for words in named for word in words), key=lambda word: (word.start, word.end))


def _values(text: str) -> Iterator[str]:
    """The strings (with a leading quotation mark) and the numbers of a TextGrid, in order."""
    for match in _VALUE.finditer(text):
        number = match["number"]
        yield number if number is not None else '"' + match["text"].replace('""', '"')


def _tiers(values: Iterator[str]) -> Iterator[tuple[str, list[Timed]]]:
    """(name, intervals) of each interval tier; tiers of points are skipped."""
    header = [next(values), next(values)]
    if header != ['"ooTextFile', '"TextGrid']:
        raise ValueError(header)
    next(values), next(values)
    for _ in range(int(next(values))):
        kind, name = next(values), next(values)[1:]
        next(values), next(values)
        count = int(next(values))
        if kind == '"TextTier':
            for _ in range(2 * count):
                next(values)
        else:
            yield name, [_interval(next(values), next(values), next(values)) for _ in range(count)]


def _interval(start: str, end: str, label: str) -> Timed:
    if not label.startswith('"'):
        raise ValueError(label)
    return Timed(label[1:].strip(), float(start), float(end))


def ctm_words(text: str, where: str) -> dict[str, list[Timed]]:
    """Recording -> words of a CTM file, in the order of time (NIST SCTK, "ctm": name channel start duration word).

    Lines that start with `;;` are comments. Channels are not separated.

    Args:
        text: content of the file.
        where: its name, for messages.

    Raises:
        BadInput: `bad_word_times`: a line with fewer than five fields, or a time that is not a number.
    """
    words: dict[str, list[Timed]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith(";;"):
            continue
        try:
            name, _, start, duration, word = fields[:5]
            timed = Timed(word, float(start), float(start) + float(duration))
        except ValueError:
            raise BadInput(
                "bad_word_times",
                f"{where}:{number}: {line[:60]!r} is not 'recording channel start duration word'; correct the line",
            ) from None
        words.setdefault(name, []).append(timed)
    return {name: sorted(timed, key=lambda word: (word.start, word.end)) for name, timed in words.items()}
