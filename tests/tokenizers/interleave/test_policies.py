"""Policies: the choice of spoken and written words."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
import pytest

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import Draws, record_keys
from speechprep.tokenizers.arrays.ragged import offsets_of
from speechprep.tokenizers.interleave.policies import POLICIES, LengthRule, PolicyOptions

FIVE = LengthRule.parse("poisson:5")
OPTIONS = PolicyOptions(FIVE, FIVE)


def labels(policy: str, counts: list[int], options: PolicyOptions = OPTIONS, seed: int = 0) -> list[np.ndarray]:
    draws = Draws(record_keys(seed, "interleave", map(str, range(len(counts)))))
    offsets = offsets_of(np.array(counts, np.int64))
    flat = POLICIES[policy](draws, offsets, options)
    assert flat.dtype == bool
    assert len(flat) == sum(counts)
    return np.split(flat, offsets[1:-1]) if counts else []


def lengths(row: np.ndarray) -> list[tuple[bool, int]]:
    return [(bool(label), len(list(group))) for label, group in groupby(row.tolist())]


@pytest.mark.parametrize("policy", POLICIES)
def test_labels_of_an_utterance_do_not_depend_on_its_neighbours(policy):
    """slamkit draws from a global generator in a thread pool, so its rows differ between runs on one corpus."""
    counts = [7, 0, 31, 1, 100]
    together = labels(policy, counts)
    draws = Draws(record_keys(0, "interleave", map(str, range(5))))
    order = np.array([4, 2, 0])
    part = POLICIES[policy](Draws(draws.keys[order]), offsets_of(np.array(counts)[order]), OPTIONS)
    assert part.tolist() == np.concatenate([together[i] for i in order]).tolist()
    np.random.default_rng().random()  # nothing global takes part
    assert [row.tolist() for row in labels(policy, counts)] == [row.tolist() for row in together]


@pytest.mark.parametrize("policy", POLICIES)
def test_batches_without_words_are_fine(policy):
    assert labels(policy, []) == []
    assert [row.tolist() for row in labels(policy, [0, 0])] == [[], []]


@pytest.mark.parametrize("policy", ["ast", "word", "spirit"])
def test_another_seed_gives_other_labels(policy):
    assert not np.array_equal(labels(policy, [400])[0], labels(policy, [400], seed=1)[0])


def test_ast_spans_alternate_with_poisson_lengths_and_either_modality_first():
    rows = labels("ast", [400] * 300)
    spans = [span for row in rows for span in lengths(row)[:-1]]  # the last one is cut by the end
    sizes = np.array([n for _, n in spans])
    assert sizes.min() >= 1
    assert abs(sizes.mean() - 6) < 0.05
    assert abs(sizes.var() - 5) < 0.2
    expected = np.array([math.exp(-5) * 5**k / math.factorial(k) for k in range(12)]) * len(sizes)
    observed = np.bincount(sizes - 1, minlength=12)[:12]
    assert ((observed - expected) ** 2 / expected).sum() < 35  # chi squared, 11 degrees of freedom
    assert 0.4 < np.mean([row[0] for row in rows]) < 0.6


def test_span_rules_may_differ_between_the_modalities():
    rule = PolicyOptions(LengthRule.parse("fixed:2"), LengthRule.parse("range:3-4"))
    for row in labels("ast", [60] * 20, rule):
        spans = lengths(row)[:-1]
        assert {n for spoken, n in spans if not spoken} == {2}
        assert {n for spoken, n in spans if spoken} <= {3, 4}


def test_spirit_lengths_are_those_of_the_paper():
    spans = [span for row in labels("spirit", [500] * 100) for span in lengths(row)[:-1]]
    assert {n for spoken, n in spans if spoken} == set(range(5, 16))
    assert {n for spoken, n in spans if not spoken} == set(range(10, 31))


def test_word_speaks_each_word_by_itself():
    rows = np.concatenate(labels("word", [100] * 200, PolicyOptions(FIVE, FIVE, p_speech=0.25)))
    assert abs(rows.mean() - 0.25) < 0.01


def test_poisson_speaks_the_share_in_spans_of_the_mean_length():
    rows = labels("poisson", [200] * 200)
    shares = [row.mean() for row in rows]
    assert min(shares) >= 0.3
    assert np.mean(shares) < 0.34
    spans = [n for row in rows for spoken, n in lengths(row) if spoken]
    assert 9 < np.mean(spans) < 10.5


def test_poisson_ends_where_nothing_fits_any_more():
    for row in labels("poisson", [1, 2, 3, 5] * 50, PolicyOptions(FIVE, FIVE, share=1.0)):
        assert len(row) in (1, 2, 3, 5)


@pytest.mark.parametrize("rule", ["poisson:-1", "poisson:x", "fixed:0", "range:3-2", "range:1", "geometric:3", ""])
def test_a_span_rule_that_cannot_be_is_refused_by_its_text(rule):
    with pytest.raises(ConfigError, match="span length"):
        LengthRule.parse(rule)


def test_quantiles_reach_both_ends_of_a_rule():
    rule = LengthRule.parse("range:10-30")
    assert rule.quantile(np.array([0.0, 1 - 2**-53])).tolist() == [10, 30]
    assert LengthRule.parse("poisson:0").quantile(np.array([0.0, 1 - 2**-53])).tolist() == [1, 1]
