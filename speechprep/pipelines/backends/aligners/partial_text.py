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
PASSAGE_SCORE = -5.0  # smallest mean of a passage; it has also won against the loops
PASSAGE_WORDS = 3  # fewest words of a passage, unless fewer remain
MIN_SHARE = 0.2  # smallest fraction of spoken words; with fewer, the text belongs to another recording
MIN_FRAMES = 20  # shorter audio is not searched
MAX_DEPTH = 5  # nested searches

Samples = NDArray[np.float32]


class _Passage(NamedTuple):
    """A passage of words in the audio: numbers of the first word and the first word after it."""

    first: int
    stop: int
    placed: list[Spoken | None]


def parameters() -> list[float]:
    """All constants that can change a result, for the identity of an aligner."""
    poor = [POOR_SCORE, POOR_WORDS, POOR_STRETCH, LONG_PAUSE, POOR_PAUSE, SAME_FRAMES]
    return [
        sphinx.LOOP_BEAM,
        sphinx.LOOP_PHONE,
        sphinx.LOOP_SKIP,
        *poor,
        PASSAGE_SCORE,
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
    spoken = [one for one in passage.placed if one is not None]
    start, end = spoken[0].start, spoken[-1].end
    before = _located(search, audio[: start * sphinx.HOP], words[: passage.first], depth - 1)
    after = _located(search, audio[end * sphinx.HOP :], words[passage.stop :], depth - 1)
    moved = [None if one is None else Spoken(one.start + end, one.end + end, one.score) for one in after]
    return [*before, *passage.placed[passage.first : passage.stop], *moved]


def _passage(search: sphinx.ForcedSearch, audio: Samples, words: Sequence[str]) -> _Passage | None:
    """The best passage, if there is one of sufficient score and length."""
    if not words or sphinx.num_frames(len(audio)) < MIN_FRAMES:
        return None
    path = search.find(audio, words, "part")
    if path is None or mean_score(path[0]) < PASSAGE_SCORE:
        return None
    numbers = [number for number, spoken in enumerate(path[0]) if spoken is not None]
    if len(numbers) < min(PASSAGE_WORDS, len(words)):
        return None
    return _Passage(numbers[0], numbers[-1] + 1, path[0])
