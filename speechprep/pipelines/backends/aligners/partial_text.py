"""Texts that cover a part of the audio, and audio that covers a part of the text: search of the passages in common.

A closed alignment forces all words into all of the audio. Where the text and the audio have passages of their own, its
score is poor. Then the best passage of adjacent words is searched between two loops over all phones: the ends "part" of
`ForcedSearch.find`. The search is repeated with the words and the audio before this passage, and with those after it.
Words in no passage are not spoken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.pipelines.backends.aligners import sphinx
from speechprep.pipelines.backends.aligners.acceptance import mean_score
from speechprep.pipelines.backends.aligners.timing import Spoken

POOR_SCORE = -2.5  # nats per frame; below this mean, a closed alignment is doubtful (right texts: -0.9 to -2.8)
POOR_WORDS, POOR_STRETCH = 4, -3.5  # and below this mean of so many adjacent words
LONG_PAUSE, POOR_PAUSE = 30, -4.0  # and with a pause of so many frames below this score: speech without a word
SAME_FRAMES = 50  # both searches have found the same place if no word differs by more
LOOP_SCORE = -5.0  # smallest mean score of a passage in the search with loops
SHORT_WORDS, SHORT_SCORE = 6, -4.25  # and of a passage of fewer words, because chance matches are short
PASSAGE_SCORE = -3.0  # and in the closed alignment of its words with its audio
PASSAGE_MARGIN = 10  # frames around a passage in its closed alignment
PASSAGE_WORDS = 3  # fewest words of a passage, unless fewer remain
MIN_SHARE = 0.2  # smallest fraction of spoken words; with fewer, the text belongs to another recording
MIN_FRAMES = 20  # shorter audio is not searched
MAX_DEPTH = 5  # nested searches

Samples = NDArray[np.float32]


class _Passage(NamedTuple):
    """A passage in the audio: numbers of its first word and of the first word after it, and the place of each word."""

    first: int
    stop: int
    placed: Sequence[Spoken]


def parameters() -> list[float]:
    """All constants that can change a result, for the identity of an aligner."""
    poor = [POOR_SCORE, POOR_WORDS, POOR_STRETCH, LONG_PAUSE, POOR_PAUSE, SAME_FRAMES]
    return [
        sphinx.LOOP_BEAM,
        sphinx.LOOP_PHONE,
        sphinx.LOOP_SKIP,
        *poor,
        LOOP_SCORE,
        SHORT_WORDS,
        SHORT_SCORE,
        PASSAGE_SCORE,
        PASSAGE_MARGIN,
        PASSAGE_WORDS,
        MIN_SHARE,
        MIN_FRAMES,
        MAX_DEPTH,
    ]


def doubtful(path: sphinx.AlignedPath) -> bool:
    """True if a closed alignment has a poor score: in the mean, in some adjacent words, or in a long pause."""
    placed, pauses = path
    words = [spoken for spoken in placed if spoken is not None]
    stretches = (words[i : i + POOR_WORDS] for i in range(max(len(words) - POOR_WORDS, 0) + 1))
    return (
        mean_score(placed) < POOR_SCORE
        or any(mean_score(stretch) < POOR_STRETCH for stretch in stretches)
        or any(pause.end - pause.start >= LONG_PAUSE and pause.score < POOR_PAUSE for pause in pauses)
    )


def find_passages(
    search: sphinx.ForcedSearch, audio: Samples, words: Sequence[str], closed: sphinx.AlignedPath | None
) -> list[Spoken | None] | None:
    """Positions of the spoken words; None for each word that is not spoken.

    Args:
        search: of the aligner.
        audio: (n,) at 16 kHz, at most one window.
        words: spoken words.
        closed: the closed alignment, if there is one.

    Returns:
        None if too few words are spoken, or if the closed alignment has the same words at the same places. A gap of
        fewer than `PASSAGE_WORDS` words is no passage.
    """
    located = _located(search, audio, words, MAX_DEPTH)
    count = sum(spoken is not None for spoken in located)
    if not count or count < MIN_SHARE * len(words):
        return None
    if closed is not None and _longest_gap(located) < PASSAGE_WORDS and _same_places(located, closed[0]):
        return None
    return located


def _longest_gap(located: Sequence[Spoken | None]) -> int:
    """Largest number of adjacent words that are not located."""
    return max(len(gap) for gap in "".join(" " if spoken else "x" for spoken in located).split(" "))


def _same_places(located: Sequence[Spoken | None], closed: Sequence[Spoken | None]) -> bool:
    """True if no located word starts elsewhere in the closed alignment."""
    pairs = ((a, b) for a, b in zip(located, closed, strict=True) if a is not None and b is not None)
    return all(abs(a.start - b.start) <= SAME_FRAMES for a, b in pairs)


def _located(search: sphinx.ForcedSearch, audio: Samples, words: Sequence[str], depth: int) -> list[Spoken | None]:
    passage = _passage(search, audio, words) if depth else None
    if passage is None:
        return [None] * len(words)
    start, end = passage.placed[0].start, passage.placed[-1].end
    before = _located(search, audio[: start * sphinx.HOP], words[: passage.first], depth - 1)
    after = _located(search, audio[end * sphinx.HOP :], words[passage.stop :], depth - 1)
    moved = [None if one is None else Spoken(one.start + end, one.end + end, one.score) for one in after]
    return [*before, *passage.placed, *moved]


def _passage(search: sphinx.ForcedSearch, audio: Samples, words: Sequence[str]) -> _Passage | None:
    """The best passage, if there is one of sufficient score and length."""
    if not words or sphinx.num_frames(len(audio)) < MIN_FRAMES:
        return None
    path = search.find(audio, words, "part")
    if path is None:
        return None
    numbers = [number for number, spoken in enumerate(path[0]) if spoken is not None]
    if len(numbers) < min(PASSAGE_WORDS, len(words)):
        return None
    if mean_score(path[0]) < (SHORT_SCORE if len(numbers) < SHORT_WORDS else LOOP_SCORE):
        return None
    first, stop = numbers[0], numbers[-1] + 1
    rescored = _rescored(search, audio, words[first:stop], [spoken for spoken in path[0] if spoken is not None])
    if rescored is None or mean_score(rescored) < PASSAGE_SCORE:
        return None
    return _Passage(first, stop, rescored)


def _rescored(
    search: sphinx.ForcedSearch, audio: Samples, words: Sequence[str], placed: Sequence[Spoken]
) -> list[Spoken] | None:
    """The passage with the scores of its closed alignment, so that all scores of an aligner have one scale.

    With loops, all phones compete in each frame, and the scores of right words are 1.5 nats per frame lower. The times
    stay: those of the closed alignment are worse.
    """
    start = max(placed[0].start - PASSAGE_MARGIN, 0)
    closed = search.find(audio[start * sphinx.HOP : (placed[-1].end + PASSAGE_MARGIN) * sphinx.HOP], words)
    if closed is None:
        return None
    scores = [spoken.score for spoken in closed[0] if spoken is not None]
    return [Spoken(one.start, one.end, score) for one, score in zip(placed, scores, strict=True)]
