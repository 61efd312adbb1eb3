"""sample: the frames it keeps are those of a slow oracle, which draws them one by one with Python integers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.pipelines.stages import sample
from speechprep.tokenizers.arrays.keyed_random import uniform_numbers

MASK = (1 << 64) - 1


class SplitMix64:
    """The generator of Steele, Lea and Flood as published: one state, one output at a time."""

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def mixed(z: int) -> int:
    """The output of a generator whose state has come to `z`."""
    return SplitMix64((z - 0x9E3779B97F4A7C15) & MASK).next()


def fraction(bits: int) -> Fraction:
    return Fraction(bits >> 11, 1 << 53)


def key_of(seed: int, id: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{id}".encode(), digest_size=8).digest(), "little")


def oracle_frames(seed: int, id: str, n_frames: int, share: float, spread: float) -> list[int]:
    """Draw 0 of an utterance decides whether it is read, draw n + 1 whether frame n is kept."""
    read = min(1.0, share * spread)
    if not fraction(mixed(key_of(seed, id))) < read:
        return []
    generator = SplitMix64(key_of(seed, id))
    return [n for n in range(n_frames) if fraction(generator.next()) < share / read]


def test_the_oracle_is_splitmix64() -> None:
    generator = SplitMix64(1234567)  # the test vector of the reference implementation
    assert [generator.next() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(seed=st.integers(0, 2**40), id=st.text(max_size=12), first=st.integers(0, 50), n=st.integers(1, 40))
def test_draws_are_those_of_the_published_generator(seed: int, id: str, first: int, n: int) -> None:
    generator = SplitMix64(key_of(seed, id))
    expected = [fraction(mixed(key_of(seed, id))), *(fraction(generator.next()) for _ in range(first + n))]
    draws = uniform_numbers(seed, id, np.arange(first, first + n))
    assert [Fraction(draw) for draw in draws.tolist()] == expected[first : first + n]


def read(folder: Path) -> dict[str, list[int]]:
    rows = [row for path in sorted(folder.glob("part-*")) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row["frames"] for row in rows}


@pytest.mark.parametrize(("seed", "max_frames", "spread"), [(0, 300, 20.0), (5, 300, 20.0), (5, 90, 2.0), (7, 60, 1.0)])
def test_the_stage_keeps_the_frames_of_the_oracle(
    make_corpus: Callable, run_stage: Callable, talkers: list[dict[str, Any]], seed: int, max_frames: int, spread: float
) -> None:
    corpus = make_corpus(talkers, 3)
    options = {"max_frames": max_frames, "spread": spread}
    found = read(run_stage(sample.STAGE, options, {"utterances": corpus, "corpus": corpus}, seed=seed))
    share = max_frames / (sum(len(t["sound"]) for t in talkers) / 160)  # a frame each 10 ms
    expected = {}
    for talker in talkers:
        n_frames = (len(talker["sound"]) - 400) // 160 + 1
        expected[talker["id"]] = oracle_frames(seed, talker["id"], n_frames, share, spread)
    assert found == {id: frames for id, frames in expected.items() if frames}
    if spread < 20:
        assert len(found) < len(talkers), "some utterances are not read"


def oracle_share(sizes: dict[str, float], total: float) -> dict[str, float]:
    """Water-filling by bisection: the level up to which every group gives, over the size of the group."""
    low, high = 0.0, max(sizes.values())
    if sum(sizes.values()) <= total:
        return dict.fromkeys(sizes, 1.0)
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if sum(min(size, level) for size in sizes.values()) < total else (low, level)
    return {name: min(1.0, low / size) for name, size in sizes.items()}


def test_balanced_groups_keep_the_frames_of_the_oracle(
    make_corpus: Callable, run_stage: Callable, talkers: list[dict[str, Any]]
) -> None:
    corpus = make_corpus(talkers, 2)
    options = {"max_frames": 400, "balance": "speaker"}
    found = read(run_stage(sample.STAGE, options, {"utterances": corpus, "corpus": corpus}, seed=3))
    sizes: dict[str, float] = {}
    for talker in talkers:
        sizes[talker["speaker"] or ""] = sizes.get(talker["speaker"] or "", 0) + len(talker["sound"]) / 160
    share = oracle_share(sizes, 400)
    for talker in talkers:
        n_frames = (len(talker["sound"]) - 400) // 160 + 1
        expected = oracle_frames(3, talker["id"], n_frames, share[talker["speaker"] or ""], 20.0)
        assert found[talker["id"]] == expected


# -- silence -----------------------------------------------------------------------------------------------------------


def percentile(values: list[float], percent: float) -> float:
    """With linear interpolation between the two values around rank percent / 100 * (n - 1)."""
    ordered = sorted(values)
    rank = percent / 100 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def heard(levels: list[float], stride: int = 16) -> list[bool]:
    """What the meter calls silent, of strides of constant level in dBFS."""
    meter = sample.LevelMeter(stride)
    sound = np.repeat(10 ** (np.array(levels) / 20), stride).astype(np.float32)
    for _ in meter.through(iter([sound])):
        pass
    return meter.silent(len(levels)).tolist()


def test_silence_is_35_db_below_the_95th_percentile_of_a_ramp() -> None:
    ramp = [float(-level) for level in range(101)]  # the 95th percentile is -5 dBFS, the limit -40
    assert heard(ramp) == [level < -40.5 for level in ramp[:40]] + [heard(ramp)[40]] + [True] * 60
    louder = [level + 0.5 for level in ramp]  # the limit is -39.5, a level on it is left out here as well
    assert heard([*louder[:40], -39.4, *louder[41:]])[40] is False
    assert heard([*louder[:40], -39.6, *louder[41:]])[40] is True


def test_what_is_below_minus_70_dbfs_is_silent_in_a_soft_utterance() -> None:
    assert heard([-60.0, -69.5, -70.5, -60.0]) == [False, False, True, False]


@settings(max_examples=200)
@given(st.lists(st.floats(-90, 0), min_size=1, max_size=60))
def test_silent_strides_are_those_of_the_oracle(levels: list[float]) -> None:
    limit = max(percentile(levels, 95) - 35, -70)
    for level, silent in zip(levels, heard(levels), strict=True):
        if abs(level - limit) > 1e-3:  # float32 audio moves a level by about 1e-6 dB
            assert silent == (level < limit)
