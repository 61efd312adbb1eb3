"""Packing: rows of a fixed length, and the share of each kind in a mixture."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.artifacts.schemas import PACKED
from speechprep.errors import ConfigError
from speechprep.tokenizers.packing import GROUPS, DocumentBatch, Layout, Mixture, best_fit, cut_long, document_keys

MODALITY = np.arange(100, dtype=np.int8)


def documents(lengths: list[int], first: int = 0) -> DocumentBatch:
    tokens = [(first + i) % 98 + 1 for i, n in enumerate(lengths) for _ in range(n)]
    names = pa.array([f"d{first + i}" for i in range(len(lengths))], pa.string())
    return DocumentBatch(names, np.array(tokens, np.int32), np.array(lengths, np.int64))


def test_documents_are_cut_at_the_end_of_a_row_and_go_on_in_the_next():
    layout = Layout(4, 0, MODALITY)
    batch, rest = layout.full_rows(documents([3, 2, 5]))
    assert batch.schema.equals(PACKED)
    assert batch.to_pylist() == [
        {"input_ids": [1, 1, 1, 2], "document_ids": [0, 0, 0, 1], "modality_ids": [1, 1, 1, 2], "ids": ["d0", "d1"]},
        {"input_ids": [2, 3, 3, 3], "document_ids": [0, 1, 1, 1], "modality_ids": [2, 3, 3, 3], "ids": ["d1", "d2"]},
    ]
    assert rest.tokens.tolist() == [3, 3]
    assert rest.lengths.tolist() == [2]
    last = layout.padded_rows(rest, [range(1)]).to_pylist()
    assert last == [
        {"input_ids": [3, 3, 0, 0], "document_ids": [0, 0, -1, -1], "modality_ids": [3, 3, 0, 0], "ids": ["d2"]}
    ]


def test_a_document_may_be_longer_than_a_row_or_end_with_it():
    batch, rest = Layout(4, 0, MODALITY).full_rows(documents([4, 9, 3]))
    assert [row["ids"] for row in batch.to_pylist()] == [["d0"], ["d1"], ["d1"], ["d1", "d2"]]
    assert len(rest.names) == 0
    batch, rest = Layout(4, 0, MODALITY).full_rows(documents([2]))
    assert batch.num_rows == 0
    assert rest.lengths.tolist() == [2]
    assert Layout(4, 0, MODALITY).full_rows(DocumentBatch.empty())[0].num_rows == 0


@given(st.lists(st.integers(1, 30), max_size=40), st.lists(st.integers(0, 40), max_size=3), st.integers(2, 16))
def test_rows_hold_all_tokens_in_order_however_documents_come_in(lengths, cuts, context):
    layout, rest, rows = Layout(context, 0, MODALITY), DocumentBatch.empty(), []
    edges = [0, *sorted(min(c, len(lengths)) for c in cuts), len(lengths)]
    for a, b in itertools.pairwise(edges):
        batch, rest = layout.full_rows(rest.concat(documents(lengths[a:b], a)))
        rows += batch.to_pylist()
    if len(rest.tokens):
        rows += layout.padded_rows(rest, [range(len(rest.names))]).to_pylist()
    tokens = [t for r in rows for t, d in zip(r["input_ids"], r["document_ids"], strict=True) if d >= 0]
    names = [r["ids"][d] for r in rows for d in r["document_ids"] if d >= 0]
    assert tokens == documents(lengths).tokens.tolist()
    assert names == [f"d{i}" for i, n in enumerate(lengths) for _ in range(n)]
    assert all(len(r["input_ids"]) == context for r in rows)
    assert all(r["document_ids"][0] == 0 and max(r["document_ids"]) == len(r["ids"]) - 1 for r in rows)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(3, 20))
def test_best_fit_keeps_every_document_whole_and_no_row_over_full(lengths, context):
    pieces, goes_on = cut_long(documents(lengths), context)
    bins = best_fit(pieces.lengths, goes_on, context)
    assert sorted(i for b in bins for i in b) == list(range(len(pieces.lengths)))
    assert all(sum(int(pieces.lengths[i]) for i in b) <= context for b in bins)
    rows = Layout(context, 0, MODALITY).padded_rows(pieces, bins).to_pylist()
    for row, b in zip(rows, bins, strict=True):
        bin_lengths = [int(pieces.lengths[i]) for i in b]
        assert row["document_ids"] == [d for d, n in enumerate(bin_lengths) for _ in range(n)] + [-1] * (
            context - sum(bin_lengths)
        )
        assert row["ids"] == [pieces.names[i].as_py() for i in b]
    assert not any(goes_on[i] for b in bins for i in b[1:])
    tails = [r for r, b in enumerate(bins) if goes_on[b[0]]]
    assert all(rows[r]["ids"][0] == rows[r - 1]["ids"][0] for r in tails)
    held = sorted(
        (r["ids"][d], t) for r in rows for t, d in zip(r["input_ids"], r["document_ids"], strict=True) if d >= 0
    )
    whole = documents(lengths)
    assert held == sorted(
        zip([f"d{i}" for i, n in enumerate(lengths) for _ in range(n)], whole.tokens.tolist(), strict=True)
    )


def test_best_fit_chooses_the_fullest_row_that_still_has_room():
    # Rooms after 6 and 5: 4 and 5. The 3 goes where it leaves least: to the 6. The 4 to the 5.
    assert best_fit(np.array([6, 5, 3, 4]), np.zeros(4, bool), 10) == [[0, 2], [1, 3]]


def corpus(n: int = 6000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids = pa.array([f"utt{i // 3}" for i in range(n)])
    kinds = pa.array([("unit", "text", "ast")[i % 3] for i in range(n)])
    keys, groups = document_keys(0, ids, kinds)
    return keys, groups, np.tile([80, 20, 40], n // 3).astype(np.int64)


def taken(mixture: Mixture, keys, groups, lengths) -> np.ndarray:
    """Tokens by group."""
    total = np.zeros(len(GROUPS), np.int64)
    for copy in range(mixture.passes):
        mask = mixture.takes(keys, groups, copy)
        total += np.bincount(groups[mask], lengths[mask], len(GROUPS)).astype(np.int64)
    return total


def test_keys_depend_on_seed_id_and_kind_only():
    keys, groups, _ = corpus()
    assert len(set(keys.tolist())) == len(keys)
    assert [GROUPS[g] for g in groups[:3]] == ["speech", "text", "mixed"]
    alone, _ = document_keys(0, pa.array(["utt5"]), pa.array(["ast"]))
    assert alone[0] == keys[17]
    assert document_keys(1, pa.array(["utt5"]), pa.array(["ast"]))[0][0] != keys[17]


def test_without_weights_everything_is_taken_once():
    keys, groups, lengths = corpus()
    mixture = Mixture(None)
    mixture.count(keys, groups, lengths)
    assert mixture.decide().tolist() == [160_000, 40_000, 80_000]
    assert mixture.passes == 1
    assert mixture.takes(keys, groups, 0).all()


@pytest.mark.parametrize(
    ("weights", "repeat", "expected"),
    [
        ({"speech": 1, "text": 1, "mixed": 1}, False, [40_000, 40_000, 40_000]),
        ({"speech": 2, "mixed": 1}, False, [160_000, 0, 80_000]),
        ({"speech": 1, "text": 1, "mixed": 1}, True, [160_000, 160_000, 160_000]),
        ({"text": 0.5, "mixed": 0.2}, True, [0, 200_000, 80_000]),
    ],
)
def test_shares_of_tokens_follow_the_weights(weights, repeat, expected):
    keys, groups, lengths = corpus()
    mixture = Mixture(weights, repeat=repeat)
    for part in np.array_split(np.arange(len(keys)), 5):
        mixture.count(keys[part], groups[part], lengths[part])
    targets = mixture.decide()
    assert taken(mixture, keys, groups, lengths).tolist() == targets.tolist()
    assert np.abs(targets - expected).max() <= 100


def test_nothing_is_repeated_unless_asked_for():
    keys, groups, lengths = corpus()
    mixture = Mixture({"speech": 1, "text": 3})
    mixture.count(keys, groups, lengths)
    mixture.decide()
    assert mixture.passes == 1


def test_a_weight_for_rows_that_there_are_not_is_refused():
    mixture = Mixture({"speech": 1, "mixed": 1})
    mixture.count(np.arange(3, dtype=np.uint64), np.zeros(3, np.uint8), np.ones(3, np.int64))
    with pytest.raises(ConfigError, match="'mixed' the weight 1, but there are no mixed rows"):
        mixture.decide()
