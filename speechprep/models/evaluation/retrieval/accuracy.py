"""Accuracy of a retrieval with a bootstrap interval over speakers, recordings or utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.context_pairs import Pair
from speechprep.models.evaluation.score import Interval

RESAMPLE = ("auto", "speakers", "recordings", "utterances")
_FEWEST = 5  # groups for `auto`


@dataclass(frozen=True)
class Resampling:
    """What the bootstrap draws: the group of each pair.

    Attributes:
        over: name of the groups: "speakers", "recordings" or "utterances".
        groups: (n,) group of each pair.
        samples, seed: see `Bootstrap`.
    """

    over: str
    groups: list[str] = field(repr=False)
    samples: int = 1000
    seed: int = 0

    @classmethod
    def of(cls, pairs: Sequence[Pair], over: str, *, samples: int = 1000, seed: int = 0) -> Resampling:
        """Groups of pairs. `auto` takes speakers, else recordings, if there are at least 5, else utterances."""
        groups = {
            "speakers": [pair.speaker or f"unknown {pair.id}" for pair in pairs],
            "recordings": [pair.recording or pair.id for pair in pairs],
            "utterances": [pair.id for pair in pairs],
        }
        if over == "auto":
            known = {"speakers": all(pair.speaker for pair in pairs), "recordings": True}
            over = next((n for n, k in known.items() if k and len(set(groups[n])) >= _FEWEST), "utterances")
        return cls(over, groups[over], samples, seed)

    def interval(self, values: NDArray[np.float64], rows: NDArray[np.bool_]) -> Interval | None:
        """95 % interval of the mean of (n,) values over the chosen pairs; None with fewer than two groups."""
        index = np.flatnonzero(rows).tolist()
        names = [f"{i:09d}" for i in index]
        groups = {name: self.groups[i] for name, i in zip(names, index, strict=True)}
        sums = np.stack([values[rows], np.ones(len(index))], 1)
        bootstrap = Bootstrap(self.samples, 0.95, self.seed, groups, self.over)
        return bootstrap.interval(names, sums, lambda total: float(total[0] / max(total[1], 1.0)))


def hits(table: NDArray[np.float64], candidates: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) 1 if the true context has the highest score, 0 if not; a tie of k counts 1 / k; NaN without a candidate.

    Args:
        table: (n, n) scores; the true contexts are on the diagonal.
        candidates: (n, n) result of `candidates.choose`.
    """
    true = np.diagonal(table)
    others = np.where(candidates, table, -np.inf)
    best = others.max(axis=1, initial=-np.inf)
    ties = (others == true[:, None]).sum(axis=1)
    won = np.where(true >= best, 1 / (1 + ties * (true == best)), 0.0)
    return np.where(candidates.any(axis=1), won, np.nan)


def chances(candidates: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) accuracy of a random choice for each continuation: 1 over the number of contexts."""
    chance: NDArray[np.float64] = 1 / (candidates.sum(axis=1) + 1)
    return chance
