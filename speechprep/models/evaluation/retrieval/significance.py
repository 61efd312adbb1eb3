"""Tests against chance for retrievals with the same candidates for all items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import record_keys, splitmix64


def permutation_p(winners: NDArray[np.int64], samples: int = 20_000, seed: int = 0) -> float:
    """p value of the number of hits if the true context of each item were another one.

    One permutation of the truth holds for all repeats (voices, seeds). A context that wins for all items, and repeats
    that resemble each other, are therefore no evidence.

    Args:
        winners: (n, r) number of the winning context of each item in each repeat, 0 to n - 1. Item i has the true
            context i.
        samples: number of permutations.
        seed: seed of the permutations.

    Returns:
        (1 + permutations with at least as many hits) / (1 + samples).
    """
    n = len(winners)
    counts = np.stack([(winners == j).sum(1) for j in range(n)], 1)  # item, context
    hits = int(np.trace(counts))
    keys = record_keys(seed, "permutation", [str(i) for i in range(samples)])
    orders = np.argsort(splitmix64(keys[:, None], np.arange(n)[None, :]), axis=1)
    permuted = counts[np.arange(n)[None, :], orders].sum(1)
    return float((1 + (permuted >= hits).sum()) / (1 + samples))


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values of several tests (Holm, "A simple sequentially rejective multiple test procedure", 1979)."""
    order = np.argsort(np.asarray(p), kind="stable")
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order.tolist()):
        largest = max(largest, min(1.0, p[i] * (len(p) - rank)))
        adjusted[i] = largest
    return adjusted
