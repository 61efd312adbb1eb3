"""Offsets of word boundaries by the classes of the phones on both sides, fitted on labelled words.

An aligner places the border between two kinds of sounds early or late by a typical time: the closure of a stop, or the
decay before a pause. The kind of a border is "onset" or "offset", the class of the phone before it and the class of the
phone after it. Its offset is the median error of this kind, shrunk to the median of all borders by the weight
`SHRINKAGE`. The interval of a kind holds the share `LEVEL` of its errors after the offset. For kinds with fewer than
`FEWEST` borders, it is that of all borders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

CLASSES = {
    "stop": "P B T D K G",
    "fricative": "S Z SH ZH F V TH DH HH CH JH",
    "nasal": "M N NG",
    "liquid": "L R W Y",
}
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"  # and all other phones
SILENCE = "silence"
ANY = "any"  # kind for all borders without a kind of their own
PAUSE = 0.005  # seconds between two words; more is a pause
SHRINKAGE = 5.0  # weight of the median of all borders, in borders
LEVEL = 0.9
FEWEST = 30  # borders of a kind for an interval of its own
_CLASS_OF = {phone: name for name, phones in CLASSES.items() for phone in phones.split()}


class BoundaryOffset(NamedTuple):
    """Correction of one kind of borders.

    Attributes:
        seconds: subtracted from the time of the aligner.
        low, high: interval of the remaining error (aligned minus true), seconds.
        borders: number of labelled borders of this kind.
    """

    seconds: float
    low: float
    high: float
    borders: int


class TimedWord(NamedTuple):
    """An aligned word: seconds, the phones of its pronunciation, and whether its time comes from the audio."""

    start: float
    end: float
    phones: Sequence[str]
    aligned: bool = True


class LabelledBorder(NamedTuple):
    """A border of an aligned word with its true time: kind, error in seconds (aligned minus true), speaker."""

    kind: str
    error: float
    group: str


def phone_class(phone: str) -> str:
    """Class of a phone of the CMU set, with or without stress."""
    return _CLASS_OF.get(phone.rstrip("012"), "vowel")


def kinds(words: Sequence[TimedWord]) -> list[tuple[str, str]]:
    """Kinds of the onset and the offset of each word. A neighbour without a time of its own counts as silence."""
    result = []
    for number, word in enumerate(words):
        before = words[number - 1] if number else None
        after = words[number + 1] if number + 1 < len(words) else None
        left = _edge(before, -1) if before and word.start - before.end <= PAUSE else SILENCE
        right = _edge(after, 0) if after and after.start - word.end <= PAUSE else SILENCE
        first, last = _edge(word, 0), _edge(word, -1)
        result.append((f"onset {left} {first}", f"offset {last} {right}"))
    return result


def _edge(word: TimedWord, side: int) -> str:
    """Class of the first (0) or last (-1) phone of a word."""
    return phone_class(word.phones[side]) if word.aligned and word.phones else SILENCE


def shifted(
    words: Sequence[TimedWord], offsets: Mapping[str, BoundaryOffset], duration: float
) -> list[tuple[float, float]]:
    """(start, end) of each word after the offsets, in [0, duration]; starts and ends ascend.

    Words without a time of their own keep it, unless a neighbour now covers it.
    """
    result, start, end = [], 0.0, 0.0
    for word, pair in zip(words, kinds(words), strict=True):
        moves = [of_kind(offsets, kind).seconds if word.aligned else 0.0 for kind in pair]
        start = min(max(word.start - moves[0], start), duration)
        end = min(max(word.end - moves[1], start, end), duration)
        result.append((start, end))
    return result


def intervals(
    words: Sequence[TimedWord], offsets: Mapping[str, BoundaryOffset], duration: float
) -> list[tuple[float, float, float, float] | None]:
    """Lowest and highest start, lowest and highest end of each word in [0, duration]; None without a time of its own.

    The share `LEVEL` of true borders is inside.
    """
    result: list[tuple[float, float, float, float] | None] = []
    for word, pair in zip(words, kinds(words), strict=True):
        spans = []
        for time, kind in zip((word.start, word.end), pair, strict=True):
            offset = of_kind(offsets, kind)
            corrected = time - offset.seconds
            spans += [min(max(corrected - error, 0.0), duration) for error in (offset.high, offset.low)]
        result.append((spans[0], spans[1], spans[2], spans[3]) if word.aligned else None)
    return result


def of_kind(offsets: Mapping[str, BoundaryOffset], kind: str) -> BoundaryOffset:
    """Offset of a kind, or of all borders."""
    return offsets[kind] if kind in offsets else offsets[ANY]


def fit(borders: Sequence[LabelledBorder]) -> dict[str, BoundaryOffset]:
    """Offset and interval of each kind, and those of all borders under the name `ANY`.

    Args:
        borders: at least one.
    """
    errors: dict[str, list[float]] = {}
    for border in borders:
        errors.setdefault(border.kind, []).append(border.error)
    middle = float(np.median([border.error for border in borders]))
    seconds = {
        kind: (float(np.median(values)) * len(values) + middle * SHRINKAGE) / (len(values) + SHRINKAGE)
        for kind, values in errors.items()
    }
    rest = np.array([border.error - seconds[border.kind] for border in borders])
    low, high = _interval(rest)
    result = {ANY: BoundaryOffset(_rounded(middle), low, high, len(borders))}
    for kind in sorted(errors):
        values = np.array(errors[kind])
        own = _interval(values - seconds[kind]) if len(values) >= FEWEST else (low, high)
        result[kind] = BoundaryOffset(_rounded(seconds[kind]), *own, len(values))
    return result


def _interval(rest: F64) -> tuple[float, float]:
    """Limits of the central share `LEVEL` of errors."""
    low, high = np.quantile(rest, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return _rounded(low), _rounded(high)


def _rounded(seconds: float) -> float:
    """Rounded to 1 microsecond: equal text on every machine."""
    return round(float(seconds), 6)


def cross_validated(borders: Sequence[LabelledBorder]) -> dict[str, float] | None:
    """Errors on groups that were not used for fitting; None with fewer than two groups.

    Returns:
        `before` and `after`: mean absolute error of a border in ms. `coverage`: share of the errors in the interval.
    """
    groups = sorted({border.group for border in borders})
    if len(groups) < 2:
        return None
    after, covered = [], []
    for group in groups:
        offsets = fit([border for border in borders if border.group != group])
        for border in (border for border in borders if border.group == group):
            offset = of_kind(offsets, border.kind)
            rest = border.error - offset.seconds
            after.append(abs(rest))
            covered.append(offset.low <= rest <= offset.high)
    return {
        "before": _milliseconds(abs(border.error) for border in borders),
        "after": _milliseconds(after),
        "coverage": round(float(np.mean(covered)), 4),
    }


def _milliseconds(seconds: Iterable[float]) -> float:
    return round(1000 * float(np.mean(list(seconds))), 3)
