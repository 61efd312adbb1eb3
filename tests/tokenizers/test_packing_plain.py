"""Packing: rows, bins and mixtures equal plain loops over single documents."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.packing import DocumentBatch, Layout, Mixture, best_fit, cut_long, document_keys

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
MODALITY = np.arange(100, dtype=np.int8) % 5
LENGTHS = st.lists(st.integers(1, 30), max_size=40)


def documents(lengths: list[int]) -> DocumentBatch:
    tokens = [(i * 7 + t) % 99 + 1 for i, n in enumerate(lengths) for t in range(n)]
    names = pa.array([f"d{i}" for i in range(len(lengths))], pa.string())
    return DocumentBatch(names, np.array(tokens, np.int32), np.array(lengths, np.int64))


def row_of(held: list[tuple[str, int]], context: int) -> dict:
    """A row of (document name, token) in order, padded."""
    row: dict = {"input_ids": [], "document_ids": [], "modality_ids": [], "ids": []}
    for name, token in held:
        if not row["ids"] or row["ids"][-1] != name:
            row["ids"].append(name)
        row["input_ids"].append(token)
        row["document_ids"].append(len(row["ids"]) - 1)
    room = context - len(held)
    row["input_ids"] += [0] * room
    row["document_ids"] += [-1] * room
    row["modality_ids"] = [int(MODALITY[token]) for token in row["input_ids"]]
    return row


def named_tokens(given: DocumentBatch) -> list[list[tuple[str, int]]]:
    flat = iter(given.tokens.tolist())
    pairs = zip(given.names.to_pylist(), given.lengths.tolist(), strict=True)
    return [[(name, next(flat)) for _ in range(length)] for name, length in pairs]


@given(LENGTHS, st.integers(2, 16))
def test_full_rows_are_cut_from_one_long_list(lengths, context):
    given_ = documents(lengths)
    stream = [pair for document in named_tokens(given_) for pair in document]
    batch, rest = Layout(context, 0, MODALITY).full_rows(given_)
    full = len(stream) // context * context
    assert batch.to_pylist() == [row_of(stream[i : i + context], context) for i in range(0, full, context)]
    assert [pair for document in named_tokens(rest) for pair in document] == stream[full:]


@given(LENGTHS, st.integers(2, 16), st.randoms(use_true_random=False))
def test_padded_rows_hold_the_documents_of_each_bin(lengths, context, random):
    pieces, _ = cut_long(documents([max(n, 1) for n in lengths]), context)
    order = list(range(len(pieces.lengths)))
    random.shuffle(order)
    bins: list[list[int]] = []
    for i in order:
        if bins and sum(int(pieces.lengths[j]) for j in bins[-1]) + int(pieces.lengths[i]) <= context:
            bins[-1].append(i)
        else:
            bins.append([i])
    groups_of_tokens = named_tokens(
        DocumentBatch(pa.array([str(i) for i in range(len(order))]), pieces.tokens, pieces.lengths)
    )
    expected = []
    for members in bins:
        row = row_of([pair for i in members for pair in groups_of_tokens[i]], context)
        expected.append({**row, "ids": [pieces.names[int(i)].as_py() for i in row["ids"]]})
    assert Layout(context, 0, MODALITY).padded_rows(pieces, bins).to_pylist() == expected


@given(LENGTHS, st.integers(2, 16))
def test_long_documents_are_cut_like_slices(lengths, context):
    pieces, goes_on = cut_long(documents(lengths), context)
    expected, on = [], []
    for document in named_tokens(documents(lengths)):
        for start in range(0, len(document), context):
            expected.append(document[start : start + context])
            on.append(start > 0)
    assert named_tokens(pieces) == expected
    assert goes_on.tolist() == on


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=80))
def test_every_document_goes_where_it_leaves_the_least_room(documents_):
    """Replay document by document; among equally full rows, any row may be chosen."""
    context = 20
    lengths = [n for n, _ in documents_]
    bins = best_fit(np.array(lengths, np.int64), np.array([on for _, on in documents_], bool), context)
    bin_of = {i: number for number, members in enumerate(bins) for i in members}
    assert sorted(bin_of) == list(range(len(lengths)))
    assert all(members == sorted(members) for members in bins)
    rooms: list[int] = []
    for i, (length, on) in enumerate(documents_):
        fitting = [] if on else [room for room in rooms if room >= length]
        if fitting:
            assert rooms[bin_of[i]] == min(fitting)
        else:
            assert bin_of[i] == len(rooms), "a new row stands after the earlier ones"
            rooms.append(context)
        rooms[bin_of[i]] -= length


# -- keys and mixtures -------------------------------------------------------------------------------------------------


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def hashed(seed: int, stage: str, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{stage}\0{name}".encode(), digest_size=8).digest(), "little")


def key_of(seed: int, id: str, kind: str) -> int:
    return mix(hashed(seed, "pack", id) ^ hashed(seed, "pack.kind", kind))


@given(st.integers(0, 2**40), st.lists(st.tuples(st.text(max_size=6), st.sampled_from(["unit", "text", "ast"]))))
def test_keys_are_hashes_of_seed_id_and_kind(seed, pairs):
    ids, kinds = pa.array([id for id, _ in pairs], pa.string()), pa.array([kind for _, kind in pairs], pa.string())
    keys, groups = document_keys(seed, ids, kinds)
    assert keys.tolist() == [key_of(seed, id, kind) for id, kind in pairs]
    assert groups.tolist() == [{"unit": 0, "text": 1, "ast": 2}[kind] for _, kind in pairs]


def taken(kinds: dict[str, list[tuple[int, int]]], weights: dict[str, int], *, repeat: bool) -> dict[str, list[int]]:
    """Copies of each document (key, length) of each group, by exact fractions."""
    tokens = {group: sum(length for _, length in members) for group, members in kinds.items()}
    scales = [Fraction(tokens[group], weight) for group, weight in weights.items() if weight]
    scale = max(scales) if repeat else min(scales)
    copies = {}
    for group, members in kinds.items():
        whole, rest = divmod(int(scale * weights.get(group, 0)), tokens[group])
        bins = [mix((key + 2 * GAMMA) & MASK) >> 48 for key, _ in members]
        once_more: set[int] = set()
        for number in sorted(set(bins)):
            rest -= sum(length for b, (_, length) in zip(bins, members, strict=True) if b == number)
            if rest < 0:
                break
            once_more.add(number)
        copies[group] = [whole + (b in once_more) for b in bins]
    return copies


@pytest.mark.parametrize("repeat", [False, True])
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(1, 50), min_size=9, max_size=60),
    weights=st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(0, 5)),
)
def test_a_mixture_takes_the_documents_of_the_oracle(repeat, seed, lengths, weights):
    names = [("unit", "speech"), ("text", "text"), ("ast", "mixed")]
    kinds = [names[i % 3][0] for i in range(len(lengths))]
    ids = [f"u{i}" for i in range(len(lengths))]
    keys, groups = document_keys(seed, pa.array(ids), pa.array(kinds))
    mixture = Mixture(dict(zip(("speech", "text", "mixed"), map(float, weights), strict=True)), repeat=repeat)
    for part in np.array_split(np.arange(len(lengths)), 3):
        mixture.count(keys[part], groups[part], np.array(lengths)[part])
    totals = mixture.decide()
    copies_taken = sum(mixture.takes(keys, groups, copy).astype(int) for copy in range(mixture.passes + 1))
    groups_of_tokens = {
        group: [(key_of(seed, id, k), n) for id, k, n in zip(ids, kinds, lengths, strict=True) if k == kind]
        for kind, group in names
    }
    expected = taken(groups_of_tokens, dict(zip(("speech", "text", "mixed"), weights, strict=True)), repeat=repeat)
    for number, (kind, group) in enumerate(names):
        assert [c for c, k in zip(copies_taken.tolist(), kinds, strict=True) if k == kind] == expected[group]
        assert totals[number] == sum(c * n for c, (_, n) in zip(expected[group], groups_of_tokens[group], strict=True))
