"""Word error rate: substitutions, insertions and deletions for each word of the reference, exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions of words that turn one into the other.

    One row of the table of Wagner and Fischer (1974) at a time; the running minimum stands for the insertions.
    """
    ids = {word: i for i, word in enumerate(dict.fromkeys((*reference, *hypothesis)))}
    said = np.array([ids[word] for word in hypothesis], np.int64)
    steps = np.arange(len(said) + 1)
    row = steps.copy()
    for word in reference:
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + (said != ids[word]))
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """`word_errors` divided by the words of the reference; 0 where both are empty, 1 and more is possible.

    An empty reference counts as one word, so that the rate of any hypothesis stays finite.
    """
    return word_errors(reference, hypothesis) / max(len(reference), 1)
