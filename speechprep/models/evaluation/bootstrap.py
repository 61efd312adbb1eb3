"""Confidence intervals by the percentile bootstrap, over utterances or over speakers.

A corpus score is a function of sums over utterances. A sample draws n of n utterances (or speakers) with replacement
and computes the score of their sums. The quantiles of the sample scores bound the interval (Efron, "Bootstrap methods:
another look at the jackknife", 1979; for WER: Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR
performance evaluation", 2004). Utterances of one speaker are correlated, so drawing speakers gives a wider interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.models.evaluation.score import Interval
from speechprep.tokenizers.arrays.keyed_random import Draws, record_keys


@dataclass(frozen=True)
class Bootstrap:
    """Parameters of a bootstrap interval.

    Attributes:
        samples: number of bootstrap samples.
        level: fraction of the sample scores inside the interval.
        seed: seed of the draws. The same ids, groups and seed give the same interval.
        speakers: id -> speaker; None to draw utterances.
        over: name of the groups in `speakers`.

    Raises:
        ConfigError: fewer than 1 sample, or a level outside (0, 1).
    """

    samples: int = 1000
    level: float = 0.95
    seed: int = 0
    speakers: Mapping[str, str] | None = None
    over: str = "speakers"

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 < self.level < 1:
            raise ConfigError(
                f"bootstrap of {self.samples} samples at level {self.level:g} is out of range; set at least 1 sample "
                "and a level between 0 and 1"
            )

    def interval(
        self, ids: Sequence[str], sums: NDArray[Any], score: Callable[[NDArray[np.float64]], float]
    ) -> Interval | None:
        """The interval of a corpus score; None with fewer than two groups.

        Args:
            ids: (n,) sorted ids, so that the result does not depend on the order of a file.
            sums: (n, k) contribution of each utterance to the k sums.
            score: (k,) sums -> score.

        Raises:
            BadInput: an id without a speaker.
        """
        rows = np.asarray(sums, np.float64)
        if self.speakers is not None:
            rows = _by_speaker(ids, rows, self.speakers)
        n = len(rows)
        if n < 2:
            return None
        scores = np.array([score(self._drawn(b, n) @ rows) for b in range(self.samples)])
        low, high = np.quantile(scores, [(1 - self.level) / 2, (1 + self.level) / 2])
        over = "utterances" if self.speakers is None else self.over
        return Interval(float(low), float(high), self.level, self.samples, over, n)

    def _drawn(self, sample: int, n: int) -> NDArray[np.float64]:
        """(n,) number of occurrences of each group in a sample."""
        draws = Draws(record_keys(self.seed, "bootstrap", [str(sample)]))
        picks = draws.uniform(0, np.zeros(n, np.int64), np.arange(n)) * n
        return np.bincount(picks.astype(np.int64), minlength=n).astype(np.float64)


def _by_speaker(ids: Sequence[str], rows: NDArray[np.float64], speakers: Mapping[str, str]) -> NDArray[np.float64]:
    """(speakers, k) sums over the utterances of each speaker, with speakers sorted by name."""
    missing = next((id for id in ids if not speakers.get(id)), None)
    if missing is not None:
        raise BadInput("no_speaker", f"id {missing!r} has no speaker; add its speaker, or resample utterances")
    names, group = np.unique([speakers[id] for id in ids], return_inverse=True)
    summed = np.zeros((len(names), rows.shape[1]))
    np.add.at(summed, group, rows)
    return summed


def share(part: float, whole: float) -> float:
    """`part / whole`; 0 if `whole` is 0."""
    return float(part / whole) if whole else 0.0


def precision_recall_f1(correct: float, predicted: float, true: float) -> dict[str, float]:
    """Precision, recall and their harmonic mean F1; 0 if a denominator is 0.

    Args:
        correct: number of labels or entities on both sides.
        predicted: number in the hypotheses.
        true: number in the references.
    """
    precision, recall = share(correct, predicted), share(correct, true)

    return {"precision": precision, "recall": recall, "f1": share(2 * precision * recall, precision + recall)}
