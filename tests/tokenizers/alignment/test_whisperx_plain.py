"""The trellis in rows and blocks gives the times of the full table of WhisperX, computed in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from speechprep.tokenizers.alignment import whisperx
from speechprep.tokenizers.arrays.compiled import has_numba

ENGINES = ["numpy", "loops", "machine code"] if has_numba() else ["numpy", "loops"]


def full_table(scores: list[list[float]], tokens: list[int]) -> list[list[float]]:
    """table[t][j]: the best score of the first j tokens in the first t frames, as in `get_trellis`."""
    frames, n = len(scores), len(tokens)
    table = [[-math.inf] * (n + 1) for _ in range(frames + 1)]
    table[0][0] = 0.0
    for t in range(frames):
        table[t + 1][0] = table[t][0] + scores[t][0]
    for t in range(max(frames + 1 - n, 0), frames + 1):
        table[t][0] = math.inf
    for t in range(frames):
        for j in range(1, n + 1):
            table[t + 1][j] = max(table[t][j] + scores[t][0], table[t][j - 1] + scores[t][tokens[j - 1]])
    return table


def oracle(scores: list[list[float]], tokens: list[int]) -> list[tuple[int, int, float]] | None:
    """Start, end and mean probability of each token, as `backtrack` and `merge_repeats` give them."""
    table, n = full_table(scores, tokens), len(tokens)
    column = [row[n] for row in table]
    t, j = column.index(max(column)), n
    path = []
    while t > 0 and j > 0:
        stayed, changed = table[t - 1][j] + scores[t - 1][0], table[t - 1][j - 1] + scores[t - 1][tokens[j - 1]]
        token = tokens[j - 1] if changed > stayed else 0
        path.append((j - 1, t - 1, math.exp(scores[t - 1][token])))
        j -= changed > stayed
        t -= 1
    if j > 0:
        return None
    times = []
    for number in range(n):
        frames_of_token = [(frame, p) for token, frame, p in path if token == number]
        times.append(
            (
                frames_of_token[-1][0],
                frames_of_token[0][0] + 1,
                sum(p for _, p in frames_of_token) / len(frames_of_token),
            )
        )
    return times


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("values", [[-1.0, -0.5], [-i / 4 for i in range(13)]], ids=["many ties", "few ties"])
def test_times_and_scores_are_those_of_the_full_table(engine, values, monkeypatch):
    """Scores are multiples of a quarter: sums are exact and ties are real."""
    if engine == "loops":  # the loops compiled by numba, run by Python
        monkeypatch.setattr(whisperx, "compiled", lambda function: function)
    rng, failures = np.random.default_rng(0), 0
    for _ in range(500):
        scores = rng.choice(values, (int(rng.integers(1, 20)), 4)).astype(np.float32)
        tokens = rng.integers(1, 4, int(rng.integers(1, 9))).tolist()
        result = whisperx.token_times(scores, tokens, numba=engine != "numpy", block=int(rng.integers(1, 10)))
        expected = oracle(scores.tolist(), tokens)
        if expected is None:
            assert result is None
            failures += 1
            continue
        assert list(zip(result.starts.tolist(), result.ends.tolist(), strict=True)) == [(a, b) for a, b, _ in expected]
        np.testing.assert_allclose(result.scores, [p for _, _, p in expected], atol=1e-6)
    assert 30 < failures < 250
