"""From spoken words with times back to written tokens: every token gets a time, and says where it has it from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speechprep.pipelines.backends import Word

DECIMALS = 4  # times are rounded to 0.1 ms, so that they survive text formats unchanged
EDGE_SECONDS = 0.5  # at most, for an untimed token before the first or after the last timed one


@dataclass(frozen=True, slots=True)
class Spoken:
    """A spoken word as found: [start, end) in frames of the search, score in nats a frame."""

    start: int
    end: int
    score: float


def written_words(
    tokens: Sequence[str],
    forms: Sequence[Sequence[str]],
    found: Sequence[Spoken | None],
    frame_rate: float,
    offset: float,
    duration: float,
) -> list[Word]:
    """Each written token with its time.

    A token lasts from the start of the first to the end of the last of its spoken words that were found; its score is
    their mean over frames. A token of which nothing was found lies between its neighbours ("interpolated", no score).

    Args:
        tokens: as written. forms: the spoken words of each.
        found: one entry for each spoken word of all forms, in order; None where the audio does not have it.
        frame_rate: of the search, 1/s. offset: seconds added to every border.
        duration: of the audio, in seconds; no time lies outside of it.
    """
    times: list[tuple[float, float] | None] = []
    scores: list[float | None] = []
    at = 0
    for form in forms:
        parts = [spoken for spoken in found[at : at + len(form)] if spoken is not None]
        at += len(form)
        if not parts:
            times.append(None)
            scores.append(None)
            continue
        start, end = (min(max(f / frame_rate + offset, 0.0), duration) for f in (parts[0].start, parts[-1].end))
        times.append((start, end))
        frames = sum(spoken.end - spoken.start for spoken in parts)
        scores.append(sum(spoken.score * (spoken.end - spoken.start) for spoken in parts) / frames)
    return [
        Word(
            token,
            round(start, DECIMALS),
            min(round(end, DECIMALS), duration),
            score,
            "aligned" if time else "interpolated",
        )
        for token, time, (start, end), score in zip(tokens, times, interpolated(times, duration), scores, strict=True)
    ]


def interpolated(times: Sequence[tuple[float, float] | None], duration: float) -> list[tuple[float, float]]:
    """Times for all: a run of untimed tokens divides the gap between its neighbours evenly.

    Before the first and after the last timed token each takes at most `EDGE_SECONDS`, next to it; a gap may be empty,
    then so are they. With no time at all they divide the whole duration.
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
