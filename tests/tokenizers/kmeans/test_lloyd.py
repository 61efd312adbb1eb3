"""The exact sums of k-means give the means, scatters and split units of plain fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechprep.tokenizers.kmeans.frames import Subset
from speechprep.tokenizers.kmeans.lloyd import Lloyd, Threads, measure


def exact_means(frames: list[list[int]], units: list[int], k: int) -> list[list[Fraction] | None]:
    means: list[list[Fraction] | None] = []
    for unit in range(k):
        members = [frame for frame, u in zip(frames, units, strict=True) if u == unit]
        means.append(
            [Fraction(sum(values), len(members)) for values in zip(*members, strict=True)] if members else None
        )
    return means


def split(frames: list[list[int]], units: list[int], keys: list[int], k: int) -> list[list[Fraction] | None]:
    """Means, with empty units placed as in `Lloyd.update`; None for a unit left empty."""
    means = exact_means(frames, units, k)
    scatter = [Fraction(0)] * k
    for frame, unit in zip(frames, units, strict=True):
        scatter[unit] += sum((x - m) ** 2 for x, m in zip(frame, means[unit], strict=True))
    parts = [1] * k
    result = list(means)
    for unit in [u for u in range(k) if means[u] is None]:
        shares = [value / n for value, n in zip(scatter, parts, strict=True)]
        ordered = sorted(shares, reverse=True)
        assume(ordered[0] == 0 or ordered[0] - ordered[1] > Fraction(1, 10**6))  # floats may order equals otherwise
        largest = shares.index(ordered[0])
        members = sorted((key, row) for row, key in enumerate(keys) if units[row] == largest)
        if shares[largest] <= 0 or parts[largest] > len(members):
            break
        near = frames[members[parts[largest] - 1][1]]
        result[unit] = [m + Fraction(1, 64) * (x - m) for x, m in zip(near, means[largest], strict=True)]
        parts[largest] += 1
    return result


@settings(max_examples=120)
@given(
    n=st.integers(2, 40),
    near=st.integers(1, 4),
    far=st.integers(0, 5),
    seed=st.integers(0, 2**32),
    block=st.integers(1, 9),
)
def test_means_and_split_units_are_those_of_fractions(n, near, far, seed, block):
    """Two assignments move frames between units; distant centroids give units without frames."""
    k = near + far
    rng = np.random.default_rng(seed)
    data = (rng.integers(-20, 21, (n, 2)) * rng.integers(1, 4, (n, 1))).astype(np.float32)
    frames = data.astype(int).tolist()
    first, second = rng.integers(-20, 21, (2, k, 2)).astype(np.float32)
    second[rng.choice(k, far, replace=False)] += 1000
    keys = rng.permutation(n).astype(np.uint64)
    subset = Subset(data, np.arange(n), block)
    with Threads(2) as threads:
        lloyd = Lloyd(k, 2, keys, measure(subset, threads), threads, None)
        lloyd.assign(subset, first)
        lloyd.assign(subset, second)
        means, empty = lloyd.update(second, lambda rows: data[rows])
    centres = second.astype(int).tolist()
    distances = [[(x - a) ** 2 + (y - b) ** 2 for a, b in centres] for x, y in frames]
    units = [row.index(min(row)) for row in distances]
    assert lloyd.units.tolist() == units
    assert empty.tolist() == [u for u in range(k) if u not in units]
    assert lloyd.sums.inertia(second.astype(np.float64)) == pytest.approx(sum(min(row) for row in distances))
    for unit, expected in enumerate(split(frames, units, keys.tolist(), k)):
        centre = centres[unit] if expected is None else [float(x) for x in expected]
        np.testing.assert_allclose(means[unit], centre, atol=1e-9)
