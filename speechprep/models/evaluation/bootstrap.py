"""Confidence intervals: the percentile bootstrap over utterances, or over the speakers they come from.

A corpus score is a function of sums over utterances. Utterances, or whole speakers, are drawn with replacement as many
times as there are, the sums are taken anew, and the quantiles of the scores bound the interval (Efron, "Bootstrap
methods: another look at the jackknife", 1979; for WER: Bisani and Ney, "Bootstrap estimates for confidence intervals in
ASR performance evaluation", 2004). Utterances of one speaker share the speaker's difficulty. With known speakers,
drawing speakers gives the wider interval for another set of speakers.
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
    """How an interval is made.

    Attributes:
        samples: how many times the corpus is resampled.
        level: share of the resampled scores between the bounds.
        seed: of the draws; the same ids, groups and seed give the same interval.
        speakers: id -> speaker; None draws utterances.

    Raises:
        ConfigError: fewer than 1 sample, or a level outside (0, 1).
    """

    samples: int = 1000
    level: float = 0.95
    seed: int = 0
    speakers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 < self.level < 1:
            raise ConfigError(
                f"bootstrap of {self.samples} samples at level {self.level:g}: needs at least 1 and a level in (0, 1)"
            )

    def interval(
        self, ids: Sequence[str], sums: NDArray[Any], score: Callable[[NDArray[np.float64]], float]
    ) -> Interval | None:
        """The interval of a corpus score; None with fewer than two groups.

        Args:
            ids: (n,) sorted: the result does not depend on the order of a file.
            sums: (n, k) contribution of each utterance to the k sums.
            score: (k,) sums -> the score.

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
        over = "utterances" if self.speakers is None else "speakers"
        return Interval(float(low), float(high), self.level, self.samples, over, n)

    def _drawn(self, sample: int, n: int) -> NDArray[np.float64]:
        """(n,) how often each group is in a sample."""
        draws = Draws(record_keys(self.seed, "bootstrap", [str(sample)]))
        picks = draws.uniform(0, np.zeros(n, np.int64), np.arange(n)) * n
        return np.bincount(picks.astype(np.int64), minlength=n).astype(np.float64)


def _by_speaker(ids: Sequence[str], rows: NDArray[np.float64], speakers: Mapping[str, str]) -> NDArray[np.float64]:
    """(speakers, k) sums of each speaker's utterances, the speakers sorted by name."""
    lost = next((id for id in ids if not speakers.get(id)), None)
    if lost is not None:
        raise BadInput("no_speaker", f"id {lost!r} has no speaker; give it one or resample utterances")
    names, group = np.unique([speakers[id] for id in ids], return_inverse=True)
    summed = np.zeros((len(names), rows.shape[1]))
    np.add.at(summed, group, rows)
    return summed


def share(part: float, whole: float) -> float:
    """`part / whole`; 0 where there is nothing."""
    return float(part / whole) if whole else 0.0


def precision_recall_f1(correct: float, said: float, wanted: float) -> dict[str, float]:
    """Precision, recall and their harmonic mean; 0 where a denominator is 0.

    Args:
        correct: labels or entities on both sides.
        said: of the hypotheses.
        wanted: of the references.
    """
    precision, recall = share(correct, said), share(correct, wanted)
    return {"precision": precision, "recall": recall, "f1": share(2 * precision * recall, precision + recall)}
