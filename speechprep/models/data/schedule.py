"""The source of each row of a mixture: exact shares at all times, without random draws and without state.

The k-th row of source i (from 0) is due at time (k + 1/2) / rate_i; rows are ordered by due time. After any number of
rows, each source has its share to about one row (Webster or Sainte-Lague apportionment). With integer rates the order
repeats after their sum, so a table gives the source of any row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.ragged import Ints

PERIOD = 1 << 18  # longest period of the order in rows; shares are exact to 1 / PERIOD
_SIMPLE = 4096  # largest denominator of a share with an exact schedule


@dataclass(frozen=True)
class Schedule:
    """Order of the sources in a mixture, built by `of`.

    Attributes:
        counts: (s,) rows of each source in a period.
        order: (period,) int16, source of each row.
        place: (period,) int32, number of the row in its source within the period.
        at: rows of a source within the period, one array each.
    """

    counts: Ints
    order: NDArray[np.int16]
    place: NDArray[np.int32]
    at: list[NDArray[np.int64]] = field(repr=False)

    @classmethod
    def of(cls, rates: Sequence[Fraction]) -> Schedule:
        """The schedule of sources with these relative rates of rows, all above 0."""
        counts = _whole_numbers(rates)
        which = np.repeat(np.arange(len(counts), dtype=np.int16), counts)
        number = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
        due = np.concatenate([(np.arange(n) + 0.5) / n for n in counts])
        by_time = np.argsort(due, kind="stable")
        order = which[by_time]
        return cls(counts, order, number[by_time], [np.flatnonzero(order == i) for i in range(len(counts))])

    def locate(self, rows: Ints) -> tuple[NDArray[np.int16], Ints]:
        """Global row numbers (n,) -> source of each (n,), and its number within the source (n,)."""
        periods, within = np.divmod(rows, len(self.order))
        which = self.order[within]
        return which, periods * self.counts[which] + self.place[within]

    def first_row(self, source: int, number: int) -> int:
        """Inverse of `locate`: the global number of row `number` of a source."""
        periods, within = divmod(number, int(self.counts[source]))
        return periods * len(self.order) + int(self.at[source][within])


def _whole_numbers(rates: Sequence[Fraction]) -> Ints:
    """Integer counts in the proportion of the rates: exact for simple rates, else to 1 / `PERIOD`."""
    shares = [rate / sum(rates) for rate in rates]
    simple = [share.limit_denominator(_SIMPLE) for share in shares]
    if sum(simple) == 1 and all(abs(a - b) < Fraction(1, 1 << 40) for a, b in zip(simple, shares, strict=True)):
        period = lcm(*(share.denominator for share in simple))
        if period <= PERIOD:
            return np.array([int(share * period) for share in simple], np.int64)
    counts = np.array([max(1, int(share * PERIOD)) for share in shares], np.int64)
    # Rows lost by rounding go to the sources with the largest rounding errors.
    errors = np.array([float(share * PERIOD - n) for share, n in zip(shares, counts.tolist(), strict=True)])
    counts[np.argsort(-errors, kind="stable")[: max(0, PERIOD - int(counts.sum()))]] += 1

    return counts
