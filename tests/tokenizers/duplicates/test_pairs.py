"""Candidate pairs and groups against plain loops over all pairs."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.duplicates import audio_codes, text_shingles
from speechprep.tokenizers.duplicates.pairs import WHOLE_BUCKET, bucket_pairs, equal_pairs, group_roots

entries = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 3)), max_size=30)


@given(entries, st.randoms())
def test_all_pairs_with_a_common_key_are_candidates(rows, random):
    expected = set()
    for a, b in combinations(rows, 2):
        if a[0] == b[0] and a[1] != b[1]:
            (_, low, at_low), (_, high, at_high) = sorted((a, b), key=lambda row: row[1])
            expected.add((low, high, at_low - at_high))
    random.shuffle(rows)
    keys, ranks, places = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    pairs = bucket_pairs(keys.astype(np.uint64), ranks, places)
    assert list(zip(*(side.tolist() for side in pairs), strict=True)) == sorted(expected)


def test_a_common_key_of_many_records_has_few_pairs_and_connects_them():
    n = 50 * WHOLE_BUCKET
    pairs = bucket_pairs(np.zeros(n, np.uint64), np.arange(n)[::-1].copy(), np.zeros(n, np.int64))
    assert len(pairs.low) == 2 * n - 3
    members, roots = group_roots(pairs.low, pairs.high)
    assert members.tolist() == list(range(n))
    assert not roots.any()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=30))
def test_a_group_has_the_smallest_rank_of_all_connected_ones(edges):
    roots = {rank: rank for edge in edges for rank in edge}
    for _ in roots:
        for a, b in edges:
            roots[a] = roots[b] = min(roots[a], roots[b])
    members, found = group_roots(*(np.array(side, np.int64) for side in zip(*edges, strict=True)))
    assert dict(zip(members.tolist(), found.tolist(), strict=True)) == roots


@given(st.permutations(range(12)), st.lists(st.sampled_from([b"x", b"y", b"z", b"\0"]), min_size=12, max_size=12))
def test_equal_digests_lead_to_the_smallest_rank(ranks, digests):
    by_digest = defaultdict(list)
    for rank, digest in zip(ranks, digests, strict=True):
        by_digest[digest].append(rank)
    expected = {rank: min(group) for group in by_digest.values() for rank in group if rank != min(group)}
    values = np.frombuffer(b"".join(digest * 16 for digest in digests), "V16")
    copies, originals = equal_pairs(values, np.array(ranks, np.int64))
    assert dict(zip(copies.tolist(), originals.tolist(), strict=True)) == expected


def test_similar_texts_share_a_key_and_others_do_not():
    rng = np.random.default_rng(0)
    shared = {True: 0, False: 0}
    for _ in range(200):
        words = [f"w{w}" for w in rng.integers(0, 5000, 60)]
        near, far = [*words, "more", "words"], [*words[:20], *(f"v{w}" for w in rng.integers(0, 5000, 40))]
        keys = [text_shingles.band_keys(text_shingles.shingles(" ".join(text), 3)) for text in (words, near, far)]
        for similar, other in ((True, keys[1]), (False, keys[2])):
            shared[similar] += bool(np.isin(keys[0], other).any())
    assert shared[True] == 200
    assert shared[False] < 40


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=12))
def test_codes_do_not_depend_on_the_blocks_of_the_audio(sizes):
    audio = np.random.default_rng(1).normal(0, 0.1, sum(sizes)).astype(np.float32)
    blocks = np.split(audio, np.cumsum(sizes)[:-1])
    whole, parts = audio_codes.fingerprint([audio]), audio_codes.fingerprint(blocks)
    for one, other in zip(whole, parts, strict=True):
        assert one.tolist() == other.tolist()
