"""Word ranges of N-word clips: consecutive ranges without overlap, from one timed word to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def word_windows(timed: NDArray[np.bool_], n_words: int) -> NDArray[np.int64]:
    """First words of the clips of one transcript, in ascending order.

    Each clip is the range [first, first + n_words). The time of its first and its last word is known, so no clip
    begins or ends in a gap of the alignment (WhisBERT's released code keeps the audio of words it skips in the text).
    Taking the earliest possible range each time gives the largest number of ranges without overlap.

    Args:
        timed: (words,) True for a word with a measured time.
        n_words: words of a clip, at least 1.

    Returns:
        (clips,) first words.
    """
    if len(timed) < n_words:
        return np.zeros(0, np.int64)
    possible = np.flatnonzero(timed[: len(timed) - n_words + 1] & timed[n_words - 1 :])
    firsts: list[int] = []
    at = 0
    while at < len(possible):
        firsts.append(int(possible[at]))
        at = int(np.searchsorted(possible, firsts[-1] + n_words))
    return np.array(firsts, np.int64)
