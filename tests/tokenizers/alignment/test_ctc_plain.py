"""CTC alignment gives a path as good as the best path of a full table, computed in plain loops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from speechprep.tokenizers.alignment import ctc
from speechprep.tokenizers.arrays.compiled import has_numba

ENGINES = ["numpy", "loops", "machine code"] if has_numba() else ["numpy", "loops"]


def best_total(scores: list[list[float]], tokens: list[int]) -> float:
    """Score of the best path through the states blank, token, blank, token, ..., blank."""
    states = [0]
    for token in tokens:
        states += [token, 0]
    row = [scores[0][states[0]], scores[0][states[1]], *[-math.inf] * (len(states) - 2)]
    for frame in scores[1:]:
        new = []
        for s, label in enumerate(states):
            ways = [row[s], row[s - 1] if s > 0 else -math.inf]
            if s > 1 and label not in (0, states[s - 2]):
                ways.append(row[s - 2])
            new.append(max(ways) + frame[label])
        row = new
    return max(row[-2:])


def collapsed(labels: list[int]) -> list[int]:
    return [b for a, b in zip([None, *labels], labels, strict=False) if b not in (a, 0)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("values", [[-1.0, -0.5], [-i / 4 for i in range(13)]], ids=["many ties", "few ties"])
def test_the_path_is_as_good_as_the_best_of_the_full_table(engine, values, monkeypatch):
    """Scores are multiples of a quarter: sums are exact."""
    if engine == "loops":  # the loops compiled by numba, run by Python
        monkeypatch.setattr(ctc, "compiled", lambda function: function)
    rng = np.random.default_rng(0)
    for _ in range(400):
        tokens = rng.integers(1, 4, int(rng.integers(1, 9))).tolist()
        repeats = sum(a == b for a, b in pairwise(tokens))
        frames = len(tokens) + repeats + int(rng.integers(0, 12))
        scores = rng.choice(values, (frames, 4)).astype(np.float32)
        path = ctc.ctc_align(scores, tokens, numba=engine != "numpy", block=int(rng.integers(1, 10)))
        labels = path.labels(tokens).tolist()
        assert collapsed(labels) == tokens
        assert sum(float(scores[t, label]) for t, label in enumerate(labels)) == best_total(scores.tolist(), tokens)
