"""Policies of a batch: labels equal plain loops over single utterances with Python integers."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.arrays.keyed_random import Draws, record_keys
from speechprep.tokenizers.arrays.ragged import offsets_of
from speechprep.tokenizers.interleave.policies import MAX_ROUNDS, POLICIES, LengthRule, PolicyOptions

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class Numbers:
    """Uniform numbers of one utterance by stream and index."""

    def __init__(self, seed: int, id: str) -> None:
        digest = hashlib.blake2b(f"{seed}\0interleave\0{id}".encode(), digest_size=8).digest()
        self.key = int.from_bytes(digest, "little")

    def __call__(self, stream: int, index: int) -> float:
        state = mix((self.key + (stream + 1) * GAMMA) & MASK)
        return (mix((state + (index + 1) * GAMMA) & MASK) >> 11) / 2**53


def length_of(rule: tuple, uniform: float) -> int:
    """By inversion: the shortest length whose cumulative probability is above the uniform number."""
    kind, *values = rule
    if kind == "range":
        low, high = values
        return low + int(uniform * (high - low + 1))
    mean, plus = values
    k, term = 0, math.exp(-mean)
    total = term
    while uniform >= total:
        k += 1
        term *= mean / k
        total += term
    return k + plus


def alternating(n: int, numbers: Numbers, text: tuple, speech: tuple) -> list[bool]:
    labels: list[bool] = []
    spoken, span = numbers(0, 0) < 0.5, 0
    while len(labels) < n:
        labels += [spoken] * length_of(speech if spoken else text, numbers(1, span))
        spoken, span = not spoken, span + 1
    return labels[:n]


def scattered(n: int, numbers: Numbers, mean: float, share: float) -> list[bool]:
    spoken, free = [False] * n, [True] * n
    chosen = 0
    for turn in range(MAX_ROUNDS):
        places = [i for i in range(n) if free[i]]
        if chosen >= math.ceil(n * share) or not places:
            break
        start = places[int(numbers(0, turn) * len(places))]
        stop = min(start + length_of(("poisson", mean, 0), numbers(1, turn)), n)
        if any(spoken[start:stop]):
            continue
        for i in range(start, stop):
            spoken[i], free[i] = True, False
        chosen += stop - start
        if stop < n:
            free[stop] = False
    return spoken


def oracle(policy: str, n: int, numbers: Numbers, text: tuple, speech: tuple, options: PolicyOptions) -> list[bool]:
    if policy == "word":
        return [numbers(0, i) < options.p_speech for i in range(n)]
    if policy == "poisson":
        return scattered(n, numbers, options.mean, options.share)
    if policy == "spirit":
        text, speech = ("range", 10, 30), ("range", 5, 15)
    return alternating(n, numbers, text, speech)


RULES = {
    "poisson:5": ("poisson", 5.0, 1),
    "poisson:0": ("poisson", 0.0, 1),
    "poisson:1.5": ("poisson", 1.5, 1),
    "fixed:2": ("range", 2, 2),
    "range:3-7": ("range", 3, 7),
}


@pytest.mark.parametrize("policy", ["ast", "word", "poisson", "spirit"])
@given(
    counts=st.lists(st.integers(0, 60), max_size=6),
    seed=st.integers(0, 2**40),
    text=st.sampled_from(sorted(RULES)),
    speech=st.sampled_from(sorted(RULES)),
    share=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    mean=st.sampled_from([0.5, 3.0, 10.0]),
)
def test_labels_of_a_batch_are_those_of_each_utterance_alone(policy, counts, seed, text, speech, share, mean):
    options = PolicyOptions(LengthRule.parse(text), LengthRule.parse(speech), p_speech=share, mean=mean, share=share)
    ids = [f"utterance {i}" for i in range(len(counts))]
    offsets = offsets_of(np.array(counts, np.int64))
    result = POLICIES[policy](Draws(record_keys(seed, "interleave", ids)), offsets, options).tolist()
    expected = []
    for id, n in zip(ids, counts, strict=True):
        expected += oracle(policy, n, Numbers(seed, id), RULES[text], RULES[speech], options)
    assert result == expected


def test_every_policy_has_an_oracle():
    assert set(POLICIES) == {"ast", "word", "poisson", "spirit"}
