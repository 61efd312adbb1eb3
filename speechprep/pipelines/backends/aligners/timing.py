"""Times of spoken words -> times of written tokens, with the origin of each time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from speechprep.pipelines.backends.transcript import Interval, Word
from speechprep.tokenizers.alignment.boundary_offsets import BoundaryOffset, TimedWord, intervals, shifted

DECIMALS = 4  # times are rounded to 0.1 ms, so text formats keep them unchanged
WILDCARD = "*"  # the spoken word of a token of unknown content: any sounds, or none
EDGE_SECONDS = 0.5  # maximal length of an untimed token before the first or after the last timed one


@dataclass(frozen=True, slots=True)
class Position:
    """Position of a spoken word: [start, end) in frames or fractions of frames, score in nats per frame.

    `interval`: of both borders, in frames.
    """

    start: float
    end: float
    score: float
    interval: Interval | None = None

    def later(self, frames: int) -> Position:
        """The position, later by a number of frames."""
        interval = self.interval and self.interval.scaled(1.0, frames, math.inf)
        return replace(self, start=self.start + frames, end=self.end + frames, interval=interval)


@dataclass(frozen=True, slots=True)
class Spoken(Position):
    """A spoken word in a search result: [start, end) in whole frames of the search."""

    start: int
    end: int


def with_wildcards(forms: Iterable[list[str]], unknown: Iterable[bool]) -> list[list[str]]:
    """The spoken words of each token, with one `WILDCARD` for tokens of unknown content that follow each other.

    Args:
        forms: the spoken words of each token; none for a token without a spoken form.
        unknown: for each token, True if it stands for speech of unknown content; it has no spoken words then.
    """
    result: list[list[str]] = []
    wild = False
    for form, is_unknown in zip(forms, unknown, strict=True):
        result.append([WILDCARD] if is_unknown and not wild else form)
        wild = is_unknown or (wild and not form)
    return result


def written_words(
    tokens: Sequence[str],
    forms: Sequence[Sequence[str]],
    spoken: Sequence[Position | None],
    frame_rate: float,
    offset: float,
    duration: float,
) -> list[Word]:
    """Each written token with its time.

    A token lasts from the start of its first located spoken word to the end of its last. Its score is their mean over
    frames. A token without a located word is placed between its neighbours ("interpolated", no score).

    Args:
        tokens: the written tokens.
        forms: the spoken words of each token.
        spoken: one entry for each spoken word of all forms, in order; None if it is not in the audio.
        frame_rate: frames per second of the search.
        offset: seconds added to every border.
        duration: seconds of audio; all times are within it.
    """
    times: list[tuple[float, float] | None] = []
    scores: list[float | None] = []
    borders: list[Interval | None] = []
    at = 0
    for form in forms:
        parts = [part for part in spoken[at : at + len(form)] if part is not None]
        at += len(form)
        if not parts:
            times.append(None)
            scores.append(None)
            borders.append(None)
            continue
        start, end = (min(max(f / frame_rate + offset, 0.0), duration) for f in (parts[0].start, parts[-1].end))
        times.append((start, end))
        first, last = parts[0].interval, parts[-1].interval
        whole = first and last and Interval(*first[:2], *last[2:]).scaled(1 / frame_rate, offset, duration)
        borders.append(whole)
        frames = sum(part.end - part.start for part in parts)
        scores.append(sum(part.score * (part.end - part.start) for part in parts) / frames)
    return [
        Word(
            token,
            round(start, DECIMALS),
            min(round(end, DECIMALS), duration),
            score,
            "aligned" if time else "interpolated",
            interval,
        )
        for token, time, (start, end), score, interval in zip(
            tokens, times, interpolated(times, duration), scores, borders, strict=True
        )
    ]


def interpolated(times: Sequence[tuple[float, float] | None], duration: float) -> list[tuple[float, float]]:
    """Times for all tokens: adjacent untimed tokens divide the gap between their neighbours evenly.

    Untimed tokens before the first or after the last timed token take at most `EDGE_SECONDS` each, next to it. In an
    empty gap they have no length. Without any timed token they divide the whole duration.
    """
    result = [time or (0.0, 0.0) for time in times]
    start = 0
    while start < len(times):
        if times[start] is not None:
            start += 1
            continue
        stop = start
        while stop < len(times) and times[stop] is None:
            stop += 1
        left = result[start - 1][1] if start else 0.0
        right = result[stop][0] if stop < len(times) else duration
        count = stop - start
        if start == 0 and stop < len(times):
            left = max(left, right - EDGE_SECONDS * count)
        elif stop == len(times) and start:
            right = min(right, left + EDGE_SECONDS * count)
        width = max(right - left, 0.0) / count
        for i in range(count):
            result[start + i] = (left + i * width, left + (i + 1) * width)
        start = stop
    return result


def moved(
    words: Sequence[Word], phones: Sequence[Sequence[str]], offsets: Mapping[str, BoundaryOffset], duration: float
) -> list[Word]:
    """The words after fitted offsets of their borders, with intervals; `phones`: of each word."""
    timed = [
        TimedWord(word.start, word.end, sounds, word.timing == "aligned")
        for word, sounds in zip(words, phones, strict=True)
    ]
    moves = zip(words, shifted(timed, offsets, duration), intervals(timed, offsets, duration), strict=True)
    return [
        replace(
            word,
            start=round(start, DECIMALS),
            end=min(round(end, DECIMALS), duration),
            interval=interval and Interval(*interval),
        )
        for word, (start, end), interval in moves
    ]
