"""Acceptance of a search result of PocketSphinx: the words before a low score, and the pause for the next cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechprep.pipelines.backends.aligners.sphinx import AlignedPath
from speechprep.pipelines.backends.aligners.timing import Spoken

PAUSE_FRAMES = 12  # shortest silence for a cut between windows
TRUST_WORDS = 8  # adjacent words in the mean score
TRUST_SCORE = -3.5  # nats per frame; below this mean the words are not spoken here


def accepted(result: AlignedPath | None, border: int, fewest: int = 1) -> tuple[list[Spoken | None], int] | None:
    """The accepted part of a search result: words up to the last pause before `border`, or up to a low score.

    Args:
        result: result of the search.
        border: last frame of the accepted part.
        fewest: smallest number of accepted words.

    Returns:
        The accepted words and the frame of the cut, or None if nothing is accepted.
    """
    if result is None:
        return None
    placed, pauses = result
    count = trusted(placed)
    words = [spoken for spoken in placed[:count] if spoken is not None]
    if len(words) < fewest:
        return None
    border = min(words[-1].end, border)
    cuts = [p for p in pauses if p.end - p.start >= PAUSE_FRAMES and words[0].end <= p.start <= border]
    # Speech without a pause is cut between two words.
    cut = _within(cuts[-1]) if cuts else max((s.end for s in words if s.end <= border), default=0)
    if not cut:
        return None
    inside = [i for i, spoken in enumerate(placed) if spoken is not None and spoken.end <= cut]
    return placed[: inside[-1] + 1], cut


def _within(pause: Spoken) -> int:
    """The frame of the cut in a pause: the middle of a short pause; in a long pause, near the next word."""
    return max((pause.start + pause.end) // 2, pause.end - 2 * PAUSE_FRAMES)


def trusted(placed: Sequence[Spoken | None]) -> int:
    """Number of words, counted from the first, before the first stretch with a low mean score."""
    numbers = [i for i, spoken in enumerate(placed) if spoken is not None]
    words = [spoken for spoken in placed if spoken is not None]
    weights = np.array([spoken.end - spoken.start for spoken in words], np.float64)
    total = np.concatenate(([0.0], np.cumsum(weights * [spoken.score for spoken in words])))
    frames = np.concatenate(([0.0], np.cumsum(weights)))
    for first in range(max(len(words) - TRUST_WORDS, 0) + 1):
        stop = min(first + TRUST_WORDS, len(words))
        if stop > first and total[stop] - total[first] < TRUST_SCORE * (frames[stop] - frames[first]):
            return numbers[first]
    return len(placed) if words else 0


def mean_score(placed: Sequence[Spoken | None]) -> float:
    """Mean score over the frames of all located words, in nats per frame."""
    words = [spoken for spoken in placed if spoken is not None]
    frames = sum(spoken.end - spoken.start for spoken in words)
    return sum(spoken.score * (spoken.end - spoken.start) for spoken in words) / max(frames, 1)
