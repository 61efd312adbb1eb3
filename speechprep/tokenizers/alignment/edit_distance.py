"""Word errors: substitutions, insertions and deletions between a reference and a hypothesis, exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput

Alternation = tuple[tuple[str, ...], ...]

# A cost is one 64-bit number of three fields: errors, substitutions, words of the reference. Its least value is the
# best alignment, and its fields are the counts of that alignment: no path is traced back.
_ERRORS, _SUBSTITUTIONS = 1 << 42, 1 << 21
_MOST_WORDS = 1 << 18


@dataclass(frozen=True, slots=True)
class EditCounts:
    """Counts of an alignment, in words.

    Attributes:
        words: words of the reference; where it has alternatives, of those chosen.
    """

    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def hits(self) -> int:
        """Words of the reference that were recognised."""
        return self.words - self.substitutions - self.deletions


def edit_counts(reference: Sequence[str | Alternation], hypothesis: Sequence[str]) -> EditCounts:
    """The counts of the alignment with the fewest errors; among equals, with the fewest substitutions, hence most hits.

    One row of the table of Wagner and Fischer (1974) at a time; the running minimum stands for the insertions. The
    rule for ties makes the counts a property of the two sequences, not of the order in which a table is filled.

    Args:
        reference: its words; in place of a word there may be an alternation, a tuple of word sequences (one may be
            empty) of which the best counts, of equals the shortest.
        hypothesis: its words.

    Raises:
        BadInput: more than 262,144 words on a side, for which the fields of a cost are too narrow.
    """
    longest = max(len(hypothesis), len(reference))
    if longest > _MOST_WORDS:
        raise BadInput("text_too_long", f"{longest:,} words in one text, above {_MOST_WORDS:,}; cut it into segments")
    ids = {word: i for i, word in enumerate(dict.fromkeys(hypothesis))}
    said = np.array([ids[word] for word in hypothesis], np.int64)
    hit, wrong, deletion = np.int64(1 - _ERRORS), np.int64(_SUBSTITUTIONS + 1), np.int64(_ERRORS + 1)

    # A row holds costs less the insertions that its column alone needs: inserting a word then costs nothing.
    def after(row: NDArray[np.int64], words: Iterable[str]) -> NDArray[np.int64]:
        for word in words:
            best = row + deletion
            best[1:] = np.minimum(best[1:], row[:-1] + np.where(said == ids.get(word, -1), hit, wrong))
            row = np.minimum.accumulate(best)
        return row

    row = np.zeros(len(said) + 1, np.int64)
    for item in reference:
        ways = ((item,),) if isinstance(item, str) else item
        row = reduce(np.minimum, [after(row, words) for words in ways])
    cost = int(row[-1]) + len(said) * _ERRORS
    words, substitutions = cost % _SUBSTITUTIONS, cost % _ERRORS // _SUBSTITUTIONS
    surplus = words - len(said)  # of deletions over insertions
    insertions = (cost // _ERRORS - substitutions - surplus) // 2
    return EditCounts(words, substitutions, insertions + surplus, insertions)


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions of words that turn one into the other."""
    return edit_counts(reference, hypothesis).errors


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """`word_errors` divided by the words of the reference; 0 where both are empty, 1 and more is possible.

    An empty reference counts as one word, so that the rate of any hypothesis stays finite.
    """
    return word_errors(reference, hypothesis) / max(len(reference), 1)
