"""Refined word borders: three small networks move each border within 100 ms, and give an interval for it.

The time of a border is the median of the probabilities of its candidates. Before that, the border as aligned gets the
probability `TRUST`, so only a clear finding moves a border far. The interval is between two quantiles of the
probabilities, widened by one constant on both sides. The constant makes the intervals hold the share `LEVEL` of true
borders of speakers that were not used for training: conformalised quantile regression (Romano, Patterson and Candes,
NeurIPS 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.alignment import border_network as network
from speechprep.tokenizers.alignment import boundary_offsets
from speechprep.tokenizers.alignment.border_inputs import REACH, STEP, BorderInput, stacked
from speechprep.tokenizers.alignment.boundary_offsets import LEVEL, LabelledBorder

F64 = NDArray[np.float64]

TRUST = 0.2  # probability of the border as aligned
SHORTEST = 0.02  # seconds; no longer word becomes shorter
NETWORKS = 3
FOLDS = 5
EPOCHS, FEWEST_STEPS, MOST_STEPS = 12, 400, 4000  # of a training
FAR = 0.1  # seconds


class Place(NamedTuple):
    """A refined border and its interval, in seconds."""

    time: float
    low: float
    high: float


class TrueBorder(NamedTuple):
    """A border for training.

    Attributes:
        border: its input.
        true: seconds.
        group: speaker.
        snr: of the noise in the audio, dB; None: clean.
    """

    border: BorderInput
    true: float
    group: str
    snr: float | None


@dataclass(frozen=True)
class Refiner:
    """Trained networks, of which the mean of the probabilities counts, and the widening of intervals in seconds."""

    networks: tuple[network.Weights, ...]
    widening: float = 0.0

    def places(self, borders: Sequence[BorderInput]) -> list[Place]:
        """Time and interval of each border."""
        times, low, high = _quantiles(self.networks, borders)
        rows = np.round(np.stack([times, low - self.widening, high + self.widening], 1), 6).tolist()
        return [Place(time, min(start, time), max(end, time)) for time, start, end in rows]


def _quantiles(networks: Sequence[network.Weights], borders: Sequence[BorderInput]) -> tuple[F64, F64, F64]:
    """Times, and lower and upper limits of the central share `LEVEL` of the probabilities, in seconds."""
    if not borders:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    inputs = stacked(borders)
    found = np.zeros((len(borders), network.CANDIDATES))
    for weights in networks:
        found += network.probabilities(weights, *inputs) / len(networks)
    grid = STEP * np.array([border.grid for border in borders])
    trusted = (1 - TRUST) * found
    trusted[:, REACH] += TRUST
    tail = (1 - LEVEL) / 2
    return grid + _quantile(trusted, 0.5), grid + _quantile(found, tail), grid + _quantile(found, 1 - tail)


def _quantile(found: F64, level: float) -> F64:
    """Quantile of each row in seconds from the grid point; the probability of a candidate is even over its frame."""
    below = np.cumsum(found, axis=1)
    at = np.minimum((below < level).sum(1), found.shape[1] - 1)[:, None]
    mass = np.take_along_axis(found, at, 1)
    inside = (level - np.take_along_axis(below, at, 1) + mass) / np.maximum(mass, 1e-9)
    return np.asarray((network.DISTANCE[at] - 0.5 + np.clip(inside, 0, 1)) * STEP)[:, 0]


def ordered(words: Sequence[tuple[float, float]], shortest: Sequence[float], limit: float) -> list[tuple[float, float]]:
    """(start, end) of words one after the other in [0, limit], each of at least its shortest length.

    Where an end is after the next start, both become their mean. Then borders are moved as little as needed, first to
    the right and then to the left.

    Args:
        words: start and end of each, in any order.
        shortest: length of each word; their sum is at most `limit`.
        limit: end of the audio.
    """
    times = np.array(words, np.float64).reshape(-1)
    for at in range(1, len(times) - 1, 2):
        if times[at] > times[at + 1]:
            times[at : at + 2] = (times[at] + times[at + 1]) / 2
    least = np.zeros(len(times) + 1)  # between a border and the one before it
    least[1:-1:2] = shortest
    before = 0.0
    for at in range(len(times)):
        before = times[at] = max(times[at], before + least[at])
    after = limit
    for at in reversed(range(len(times))):
        after = times[at] = min(times[at], after - least[at + 1])
    return [(float(start), float(end)) for start, end in times.reshape(-1, 2)]


def fit(
    borders: Sequence[TrueBorder], seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> tuple[Refiner, dict[str, Any]] | None:
    """A refiner, and its errors on groups that were not used for training.

    Args:
        borders: with at least one clean border in each fold of groups; their order counts.
        seed: of the training.
        progress: called with the number of finished and of all trainings.

    Returns:
        None with fewer than two groups. The evaluation has `folds` and, for each level of noise, a record of mean
        absolute errors in ms as aligned (`before`), with offsets (`offsets`) and refined (`after`), the share of true
        borders in their intervals (`coverage`) and the share of onsets within 100 ms (`near_before`, `near_after`).
    """
    groups = sorted({border.group for border in borders})
    if len(groups) < 2:
        return None
    folds = min(FOLDS, len(groups))
    number_of = {group: number % folds for number, group in enumerate(groups)}
    fold = np.array([number_of[border.group] for border in borders])
    times, low, high, by_offsets = (np.zeros(len(borders)) for _ in range(4))
    for number in range(folds):
        rest = [border for border, at in zip(borders, fold, strict=True) if at != number]
        rows = np.flatnonzero(fold == number).tolist()
        held_out = [borders[row] for row in rows]
        networks = _trained(rest, seed)
        times[rows], low[rows], high[rows] = _quantiles(networks, [border.border for border in held_out])
        by_offsets[rows] = _with_offsets(rest, held_out)
        if progress is not None:
            progress(number + 1, folds + 1)
    true = np.array([border.true for border in borders])
    clean = np.array([border.snr is None for border in borders])
    misses = np.maximum(low - true, true - high)  # negative inside
    widenings = [_widening(misses[clean & (fold != number)]) for number in range(folds)]
    levels = _evaluation(borders, times, by_offsets, misses <= np.array(widenings)[fold])
    refiner = Refiner(_trained(borders, seed), round(_widening(misses[clean]), 6))
    if progress is not None:
        progress(folds + 1, folds + 1)
    return refiner, {"folds": folds, "levels": levels}


def _evaluation(
    borders: Sequence[TrueBorder], refined: F64, by_offsets: F64, covered: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Errors at each level of noise, the clean one first.

    Args:
        borders: in order.
        refined, by_offsets: (n,) times in seconds.
        covered: (n,) true borders in their intervals.
    """
    true = np.array([border.true for border in borders])
    aligned = np.array([border.border.time for border in borders])
    onset = np.array([border.border.kind.startswith("onset") for border in borders])
    levels = []
    for snr in sorted({border.snr for border in borders}, key=lambda snr: -math.inf if snr is None else -snr):
        level = np.array([border.snr == snr for border in borders])
        times = {"before": aligned, "offsets": by_offsets, "after": refined}
        errors = {name: np.abs(time - true) for name, time in times.items()}
        near = {name: round(float((errors[name][level & onset] <= FAR).mean()), 4) for name in ("before", "after")}
        levels.append(
            {
                "snr": snr,
                "borders": int(level.sum()),
                **{name: round(1000 * float(error[level].mean()), 3) for name, error in errors.items()},
                "coverage": round(float(covered[level].mean()), 4),
                "near_before": near["before"],
                "near_after": near["after"],
            }
        )
    return levels


def _trained(borders: Sequence[TrueBorder], seed: int) -> tuple[network.Weights, ...]:
    steps = min(max(EPOCHS * len(borders) // network.BATCH, FEWEST_STEPS), MOST_STEPS)
    strips = [border.border.strip for border in borders]
    facts = [border.border.facts for border in borders]
    moves = np.array([border.true - border.border.grid * STEP for border in borders])
    return tuple(network.trained(strips, facts, moves, steps, seed, number) for number in range(NETWORKS))


def _with_offsets(rest: Sequence[TrueBorder], held_out: Sequence[TrueBorder]) -> F64:
    """Times of borders after offsets by kind, fitted on the clean borders of other groups."""
    offsets = boundary_offsets.fit(
        [
            LabelledBorder(border.border.kind, border.border.time - border.true, border.group)
            for border in rest
            if border.snr is None
        ]
    )
    return np.array(
        [border.border.time - boundary_offsets.of_kind(offsets, border.border.kind).seconds for border in held_out]
    )


def _widening(misses: F64) -> float:
    """The (n + 1) `LEVEL`-th smallest of n misses: the quantile of split conformal prediction."""
    rank = min(math.ceil((len(misses) + 1) * LEVEL), len(misses))
    return float(np.sort(misses)[rank - 1])
