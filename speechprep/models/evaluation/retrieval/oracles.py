"""Oracles: scores of contexts by one fact that is not content. A figure that an oracle reaches is no evidence.

- `corpus`, `speaker`: contexts of the corpus, or of the speaker, of the continuation are equally likely, all others
  are not.
- `lengths`: likelihood of the length of the continuation given the length of the context, by a linear regression of
  the logarithms over all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speechprep.models.evaluation.context_pairs import Pair
from speechprep.models.evaluation.retrieval.candidates import codes

ORACLES = ("corpus", "speaker", "lengths")


def oracle_tables(
    pairs: Sequence[Pair], contexts: Sequence[int], continuations: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """(n, n) scores of context j for continuation i, by oracle.

    Args:
        pairs: n pairs.
        contexts: (n,) lengths of the contexts in tokens.
        continuations: (n,) lengths of the continuations in tokens.
    """
    tables = {}
    for name in ("corpus", "speaker"):
        values = codes([getattr(pair, name) or "" for pair in pairs])
        tables[name] = (values[:, None] == values[None, :]).astype(np.float64)
    return tables | {"lengths": _length_table(contexts, continuations)}


def _length_table(contexts: Sequence[int], continuations: Sequence[int]) -> NDArray[np.float64]:
    x, y = (np.log(np.maximum(np.asarray(lengths, np.float64), 1)) for lengths in (contexts, continuations))
    spread = x - x.mean()
    variance = float(spread @ spread)
    slope = float(spread @ (y - y.mean())) / variance if variance > 1e-12 else 0.0
    expected = y.mean() + slope * spread
    table: NDArray[np.float64] = -((y[:, None] - expected[None, :]) ** 2)
    return table
