"""Keyed random numbers: functions of (seed, purpose, key, index) only."""

from __future__ import annotations

import numpy as np

from speechprep.tokenizers.arrays.keyed_random import (
    Draws,
    digest,
    generator,
    mix64,
    record_keys,
    salted,
    splitmix64,
    uniform_numbers,
    unit_interval,
)


def test_keys_depend_on_seed_stage_and_id_only():
    keys = record_keys(1, "interleave", ["a", "b", "c"])
    assert record_keys(1, "interleave", ["c", "a"]).tolist() == [keys[2], keys[0]]
    assert (
        len({*keys.tolist(), *record_keys(2, "interleave", ["a"]).tolist(), *record_keys(1, "x", ["a"]).tolist()}) == 5
    )


def test_keys_are_the_documented_hash():
    """A change of these numbers changes every corpus: raise the stage's version with it."""
    assert record_keys(0, "interleave", ["utt"]).tolist() == [13131253257152327181]


def test_the_mixer_is_splitmix64():
    # First outputs of SplitMix64 seeded with 1234567 (the generator's reference implementation).
    state = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mix64(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_numbers_are_uniform_and_independent_of_stream_index_and_record():
    draws = Draws(record_keys(3, "s", map(str, range(200))))
    rows, index = np.repeat(np.arange(200), 500), np.tile(np.arange(500), 200)
    first, second = draws.uniform(0, rows, index), draws.uniform(1, rows, index)
    for numbers in (first, second):
        assert ((numbers >= 0) & (numbers < 1)).all()
        counts = np.histogram(numbers, bins=100, range=(0, 1))[0]
        chi2 = ((counts - 1000) ** 2 / 1000).sum()
        assert 50 < chi2 < 160  # 99 degrees of freedom
    grid = first.reshape(200, 500)
    for one, other in ((first, second), (grid[:, :-1], grid[:, 1:]), (grid[:-1], grid[1:])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.015


def test_any_part_can_be_drawn_alone():
    draws = Draws(record_keys(3, "s", ["a", "b"]))
    everything = draws.uniform(2, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert draws.uniform(2, np.array([1]), np.array([1]))[0] == everything[3]
    assert Draws(draws.keys[1:]).uniform(2, np.array([0]), np.array([0]))[0] == everything[2]


IDS = ["utt-1", "\u00e4", ""]


def test_keys_and_uniform_numbers_equal_the_recorded_values():
    """Values computed before the random functions were brought together; another value changes every corpus."""
    keys = record_keys(5, "interleave", IDS)
    assert keys.tolist() == [9065702639678072162, 17053275920557823712, 11405709633849577830]
    assert salted(keys, 0).tolist() == [330987667199352779, 18012877482821213877, 885536161401732920]
    assert salted(keys, 3).tolist() == [13576614832273798638, 1576597893675852377, 17939617997307846571]
    uniform = Draws(keys).uniform(2, np.array([0, 1, 2, 0]), np.array([0, 1, 2, 10**9]))
    assert uniform.tolist() == [0.1613554921027215, 0.8229354284445585, 0.6793673482986047, 0.3451545407641049]


def test_the_generator_of_a_key_equals_the_recorded_values():
    first = generator(0, "align", "utt-1")
    assert first.integers(0, 2**63, 3).tolist() == [2061529105302430432, 3852317111954129750, 298504813293549170]
    assert first.random(2).tolist() == [0.20911827888472956, 0.10318075615080147]
    second = generator(7, "pack", "\u00e4")
    assert second.integers(0, 2**63, 3).tolist() == [5878242844908419831, 6441241942619789998, 1402606752750479929]


def test_the_numbers_by_which_frames_are_sampled_equal_the_recorded_values():
    numbers = [0.2671687535963372, 0.10400687711387424, 0.4982065273850472, 0.055008033311698346]
    assert uniform_numbers(3, "utt-1", np.arange(4)).tolist() == numbers
    assert uniform_numbers(0, "\u00e4", np.array([10**12])).tolist() == [0.6084023012627641]


def test_the_digest_of_a_record_equals_the_recorded_values():
    rank = int.from_bytes(digest(0, "subword", "utt-1"), "big")
    assert rank == 41030141037512994208629657509481160126874742313028754600203878475344432162549
    assert digest("0\0subword", "utt-1") == digest(0, "subword", "utt-1")


def test_the_outputs_of_splitmix64_are_indexed_from_zero():
    # First outputs of SplitMix64 seeded with 1234567 (the generator's reference implementation).
    outputs = splitmix64(np.array([1234567], np.uint64), np.arange(3))
    assert outputs.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert unit_interval(np.array([0, 2**64 - 1], np.uint64)).tolist() == [0.0, 1 - 2.0**-53]


def test_the_choices_made_by_keys_equal_the_recorded_ones():
    from speechprep.models.data.order import permutation, source_key
    from speechprep.models.split import held_out
    from speechprep.pipelines.hash_sample import HashSample

    assert permutation(source_key(1, "a"), 12).tolist() == [10, 9, 1, 6, 8, 0, 11, 3, 4, 7, 5, 2]
    validation = np.flatnonzero(held_out([f"u{i}" for i in range(40)], 0.2))
    assert validation.tolist() == [13, 14, 18, 19, 20, 23, 29, 34, 36, 37, 39]
    sample = HashSample(3, "7\0subword")
    for i in range(20):
        sample.add(f"u{i}", 1, f"u{i}")
    assert sample.records() == ["u2", "u15", "u14"]


def test_numbers_without_a_purpose_are_even_and_depend_on_seed_key_and_number() -> None:
    draws = uniform_numbers(1, "u", np.arange(50_000))
    assert 0 <= draws.min() < draws.max() < 1
    assert np.histogram(draws, 10, (0, 1))[0].std() < 150
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02
    assert np.array_equal(uniform_numbers(1, "u", np.array([7, 3])), draws[[7, 3]])
    for other in (uniform_numbers(2, "u", np.arange(5)), uniform_numbers(1, "v", np.arange(5))):
        assert not np.array_equal(other, draws[:5])
