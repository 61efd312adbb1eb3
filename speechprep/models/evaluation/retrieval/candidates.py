"""Candidate contexts of each continuation: same corpus, similar length, equal numbers for each speaker.

A candidate differs from the true context in its words. Otherwise two utterances of the same sentence would both be
right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speechprep.models.evaluation.context_pairs import Pair
from speechprep.tokenizers.arrays.keyed_random import mix64, record_keys, salted

POOLS = ("other", "same")


def choose(
    pairs: Sequence[Pair],
    pool: str,
    candidates: int,
    seed: int,
    *,
    lengths: Sequence[int] | None = None,
    tolerance: float = 0.1,
    same_corpus: bool = True,
) -> NDArray[np.bool_]:
    """(n, n) True where context j is a false candidate of continuation i.

    The choice is symmetric before the limit `candidates`: if j fits i, then i fits j. The true context is therefore
    not the middle of the allowed lengths.

    Args:
        pairs: n pairs.
        pool: "same": contexts of the speaker of i. "other": contexts of other speakers, the same number of each.
        candidates: largest number of contexts to choose from, with the true one.
        seed: seed of the choice.
        lengths: (n,) length of each context in tokens; None: all lengths fit.
        tolerance: largest difference of two lengths, as a fraction of the longer one. 1: all lengths fit.
        same_corpus: True to take candidates of the corpus of i only.
    """
    keys = record_keys(seed, "cra", [pair.id for pair in pairs])
    order = mix64(keys[:, None] ^ salted(keys, 1)[None, :])
    speakers = codes([pair.speaker or f"unknown {i}" for i, pair in enumerate(pairs)])
    same = speakers[:, None] == speakers[None, :]
    fits: NDArray[np.bool_] = same if pool == "same" else ~same
    words = codes([pair.context.words.casefold() or f"unknown {i}" for i, pair in enumerate(pairs)])
    fits = fits & (words[:, None] != words[None, :])
    if same_corpus:
        corpora = codes([pair.corpus for pair in pairs])
        fits &= corpora[:, None] == corpora[None, :]
    if lengths is not None and tolerance < 1:
        sizes = np.asarray(lengths, np.float64)
        fits &= abs(sizes[:, None] - sizes[None, :]) <= tolerance * np.maximum(sizes[:, None], sizes[None, :])
    np.fill_diagonal(fits, val=False)
    chosen: NDArray[np.bool_] = np.zeros(fits.shape, bool)
    for i, row in enumerate(fits):
        contexts = np.flatnonzero(row)
        contexts = contexts[np.argsort(order[i, contexts], kind="stable")]
        chosen[i, _equal_shares(contexts, speakers[contexts], candidates - 1)] = True
    return chosen


def codes(values: Sequence[str]) -> NDArray[np.int64]:
    """(n,) number of each value; equal values have equal numbers."""
    numbers: NDArray[np.int64] = np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)[1]
    return numbers


def _equal_shares(contexts: NDArray[np.int64], speakers: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """The first contexts with the same number for each speaker, as many as `limit` permits.

    Args:
        contexts: (m,) contexts in the order of choice.
        speakers: (m,) speaker of each context.
        limit: largest number of contexts.
    """
    if not len(contexts):
        return contexts
    names, counts = np.unique(speakers, return_counts=True)
    shares = np.arange(1, min(limit, int(counts.max())) + 1)
    totals = shares * np.minimum((counts[None, :] >= shares[:, None]).sum(1), limit // shares)
    share = int(shares[totals.argmax()])
    first = {name: int(np.argmax(speakers == name)) for name in names[counts >= share].tolist()}
    kept = sorted(first, key=lambda name: first[name])[: limit // share]
    taken = [contexts[speakers == name][:share] for name in kept]
    return np.concatenate(taken)
