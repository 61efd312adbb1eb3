"""Word edit distance: substitutions, insertions and deletions between a reference and a hypothesis, exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput

Alternation = tuple[tuple[str, ...], ...]

# A cost is one 64-bit number with three fields: errors, substitutions, words of the reference. The lowest cost belongs
# to the best alignment, and its fields are the counts of the alignment. No backtracking is needed.
_ERRORS, _SUBSTITUTIONS = 1 << 42, 1 << 21
_MOST_WORDS = 1 << 18


@dataclass(frozen=True, slots=True)
class EditCounts:
    """Error counts of an alignment, in words.

    Attributes:
        words: words of the reference; with alternations, of the chosen alternatives.
        substitutions, deletions, insertions: errors of each kind.
    """

    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        """Sum of substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def hits(self) -> int:
        """Correctly recognised words of the reference."""
        return self.words - self.substitutions - self.deletions


def edit_counts(reference: Sequence[str | Alternation], hypothesis: Sequence[str]) -> EditCounts:
    """Error counts of the alignment with the fewest errors, and among equals the fewest substitutions (most hits).

    The table of Wagner and Fischer (1974) is computed row by row, with a running minimum for the insertions. The rule
    for ties makes the counts a function of the two sequences, independent of the order of computation.

    Args:
        reference: words of the reference. In place of a word there may be an alternation: a tuple of word sequences,
            one of them possibly empty. The alternative with the fewest errors counts, the shortest among equals.
        hypothesis: words of the hypothesis.

    Raises:
        BadInput: `text_too_long`: more than 262,144 words, the width of the fields of a cost.
    """
    longest = max(len(hypothesis), len(reference))
    if longest > _MOST_WORDS:
        raise BadInput("text_too_long", f"{longest:,} words in one text, above {_MOST_WORDS:,}; cut it into segments")
    ids = {word: i for i, word in enumerate(dict.fromkeys(hypothesis))}
    hypothesis_ids = np.array([ids[word] for word in hypothesis], np.int64)
    hit, wrong, deletion = np.int64(1 - _ERRORS), np.int64(_SUBSTITUTIONS + 1), np.int64(_ERRORS + 1)

    # A cost in a row is stored without the insertions of its column. An insertion then costs nothing.
    def after(row: NDArray[np.int64], words: Iterable[str]) -> NDArray[np.int64]:
        for word in words:
            best = row + deletion
            best[1:] = np.minimum(best[1:], row[:-1] + np.where(hypothesis_ids == ids.get(word, -1), hit, wrong))
            row = np.minimum.accumulate(best)
        return row

    row = np.zeros(len(hypothesis_ids) + 1, np.int64)
    for item in reference:
        alternatives = ((item,),) if isinstance(item, str) else item
        row = reduce(np.minimum, [after(row, words) for words in alternatives])
    cost = int(row[-1]) + len(hypothesis_ids) * _ERRORS
    words, substitutions = cost % _SUBSTITUTIONS, cost % _ERRORS // _SUBSTITUTIONS
    surplus = words - len(hypothesis_ids)  # deletions minus insertions
    insertions = (cost // _ERRORS - substitutions - surplus) // 2
    return EditCounts(words, substitutions, insertions + surplus, insertions)


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Edit distance in words: the fewest insertions, deletions and substitutions."""
    return edit_counts(reference, hypothesis).errors


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Word error rate: `word_errors` divided by the words of the reference. It may exceed 1.

    It is 0 if both are empty. An empty reference counts as one word, so the rate is always finite.
    """
    return word_errors(reference, hypothesis) / max(len(reference), 1)
