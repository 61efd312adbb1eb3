"""Times of the tokens of a transcript from words with given times that may cover a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

Span = tuple[float, float]


@dataclass(frozen=True)
class Anchors:
    """Given times of tokens.

    Attributes:
        spans: (tokens,) start and end in seconds; None for a token without a given time.
        bounds: (tokens,) start and end of the passage of a token without a given time, None without a bound; it ends at
            the neighbours with a time, or is that of the words in its place.
        agreement: share of the given words that are in the transcript.
    """

    spans: list[Span | None]
    bounds: list[tuple[float | None, float | None]]
    agreement: float


def anchors(tokens: Sequence[str], words: Sequence[str], times: Sequence[Span]) -> Anchors:
    """The tokens with the times of equal words, in order.

    A token also equals several words in a row that are joined ("don't" and "do", "n't"). As many tokens as words in one
    place are other spellings of them, and get their times.

    Args:
        tokens: tokens of the transcript, in the form in which they are compared; empty for a token without sound.
        words: words with given times, in the same form.
        times: start and end of each word in seconds, ascending.
    """
    spans: list[Span | None] = [None] * len(tokens)
    bounds: list[tuple[float | None, float | None]] = [(None, None)] * len(tokens)
    agreeing = 0
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, tokens, words, autojunk=False).get_opcodes():
        same = kind == "equal" or (a1 > a0 and b1 > b0 and "".join(tokens[a0:a1]) == "".join(words[b0:b1]))
        agreeing += (b1 - b0) * same
        if b1 - b0 == a1 - a0:
            spans[a0:a1] = times[b0:b1]
        elif same and a1 - a0 == 1:
            spans[a0] = times[b0][0], times[b1 - 1][1]
        elif b1 > b0:
            bounds[a0:a1] = [(times[b0][0], times[b1 - 1][1])] * (a1 - a0)
    _fill(spans, bounds)
    return Anchors(spans, bounds, agreeing / len(words) if words else 0.0)


def _fill(spans: list[Span | None], bounds: list[tuple[float | None, float | None]]) -> None:
    """Bounds of the tokens without words in their place: the neighbours with a time."""
    after: list[float | None] = [None] * len(spans)
    for at in range(len(spans) - 2, -1, -1):
        following = spans[at + 1]
        after[at] = after[at + 1] if following is None else following[0]
    before: float | None = None
    for at, span in enumerate(spans):
        if span is not None:
            before = span[1]
        elif bounds[at] == (None, None):
            bounds[at] = before, after[at]


def gaps(found: Anchors) -> list[tuple[int, int, float | None, float | None]]:
    """(first token, end, start and end in seconds) of each stretch of tokens without a time and with one passage."""
    result: list[tuple[int, int, float | None, float | None]] = []
    at = 0
    while at < len(found.spans):
        if found.spans[at] is not None:
            at += 1
            continue
        end = at + 1
        while end < len(found.spans) and found.spans[end] is None and found.bounds[end] == found.bounds[at]:
            end += 1
        result.append((at, end, *found.bounds[at]))
        at = end
    return result
