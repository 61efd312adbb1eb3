"""What is in the rows: all documents, whole, with their modalities and positions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import rowmaking as made
from hypothesis import given
from hypothesis import strategies as st

from speechprep.models.data import Reader, Source, attention_mask, causal_labels, cu_seqlens, position_ids

CONTEXT = 64  # of the rows of `packed`, see conftest


def epoch(corpus, source: Source, **options) -> tuple[Reader, dict]:
    reader = Reader(
        [source], CONTEXT, vocabulary=corpus.vocabulary, end="first", names=True, window_tokens=900, **options
    )
    return reader, reader.read(np.arange(reader.total))


def documents(batch: dict) -> dict[str, list[int]]:
    """Name -> tokens, put together over rows."""
    found: dict[str, list[int]] = {}
    for tokens, owners, names in zip(batch["input_ids"], batch["document_ids"], batch["names"], strict=True):
        for token, owner in zip(tokens.tolist(), owners.tolist(), strict=True):
            if owner >= 0:
                found.setdefault(names[owner], []).append(token)
    return found


def test_packed_rows_are_those_of_the_folder(corpus):
    _, batch = epoch(corpus, Source(corpus.packed))
    rows = made.read_rows(Path(corpus.packed))
    assert sorted(batch["samples"].tolist()) == list(range(len(rows)))
    for i, sample in enumerate(batch["samples"].tolist()):
        for column in ("input_ids", "document_ids", "modality_ids"):
            assert batch[column][i].tolist() == rows[sample][column]
        assert batch["names"][i] == rows[sample]["ids"]


def test_pieces_have_their_rows_and_no_others_in_any_order_of_calls(corpus):
    """The buffer of a stream keeps the size of the largest call before."""
    reader, _ = epoch(corpus, Source(corpus.packed))
    (stream,) = reader.streams
    pieces = np.argsort(stream.sizes, kind="stable").tolist()
    for chosen in (pieces[:1], pieces, pieces[:1], pieces[1:]):
        rows = stream.make(chosen)
        assert rows.tokens.shape == rows.documents.shape == (stream.sizes[chosen].sum(), CONTEXT)
        assert len(rows.names) == len(rows.tokens)


@pytest.mark.parametrize("kinds", [None, ("text", "ast")])
def test_documents_end_to_end_are_all_there_once_and_whole(corpus, kinds):
    reader, batch = epoch(corpus, Source(corpus.tokens, kinds=kinds))
    wanted = {n: r["input_ids"] for n, r in corpus.rows.items() if kinds is None or r["kind"] in kinds}
    assert documents(batch) == wanted
    padding = batch["document_ids"] < 0
    assert padding.sum() == reader.total * CONTEXT - reader.streams[0].tokens < CONTEXT
    assert (batch["input_ids"][padding] == corpus.vocabulary.pad).all()
    assert (batch["modality_ids"] == corpus.vocabulary.modality[batch["input_ids"]]).all()
    starts = [owners[0] for owners in batch["document_ids"]]
    assert set(starts) == {0}


@pytest.mark.parametrize("documents_", ["whole", "single"])
def test_whole_documents_are_never_cut(corpus, documents_):
    short = Source(corpus.tokens, kinds=("text",), documents=documents_, long="cut")
    reader, batch = epoch(corpus, short)
    wanted = {n: r["input_ids"] for n, r in corpus.rows.items() if r["kind"] == "text"}
    assert documents(batch) == wanted
    held = [n for names in batch["names"] for n in names]
    fitting = {n for n in wanted if len(wanted[n]) <= CONTEXT}
    assert all(held.count(n) == 1 for n in fitting)
    if documents_ == "single":
        assert {len(names) for names in batch["names"]} == {1}
    else:
        assert reader.total < len(held)
    assert (batch["input_ids"][batch["document_ids"] < 0] == corpus.vocabulary.pad).all()
    assert reader.streams[0].tokens == sum(map(len, wanted.values()))


def test_windows_of_any_size_hold_the_same_documents(corpus):
    wanted = {n: r["input_ids"] for n, r in corpus.rows.items()}
    for window in (1, 64, 100_000):
        reader = Reader(
            [Source(corpus.tokens)], CONTEXT, vocabulary=corpus.vocabulary, names=True, window_tokens=window
        )
        assert documents(reader.read(np.arange(reader.streams[0].rows))) == wanted


def test_rows_longer_than_a_window_or_a_row_group_are_put_together(corpus):
    reader = Reader([Source(corpus.tokens)], 5000, vocabulary=corpus.vocabulary, names=True, window_tokens=1)
    assert documents(reader.read(np.arange(reader.streams[0].rows))) == {
        n: r["input_ids"] for n, r in corpus.rows.items()
    }


def test_train_and_validation_are_disjoint_complete_and_keep_utterances_together(corpus):
    sides = {}
    for part in ("train", "validation"):
        source = Source(corpus.tokens, part=part, validation=0.2)
        sides[part] = documents(epoch(corpus, source, seed=5)[1])
        assert sides[part] == documents(epoch(corpus, source, seed=6)[1]), "the split must not depend on the seed"
    assert sides["train"] | sides["validation"] == {n: r["input_ids"] for n, r in corpus.rows.items()}
    ids = {part: {n.split("#")[0] for n in names} for part, names in sides.items()}
    assert not ids["train"] & ids["validation"]
    assert 0.1 < len(ids["validation"]) / 300 < 0.3


def test_a_split_by_group_keeps_groups_together(corpus):
    sides = []
    for part in ("train", "validation"):
        source = Source(corpus.tokens, part=part, validation=0.3, group=r"utt-\d{4}")  # ten utterances each
        sides.append({n[:8] for n in documents(epoch(corpus, source)[1])})
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 30


rows_of_documents = st.lists(
    st.lists(st.integers(1, 6), min_size=1, max_size=6).map(lambda n: np.repeat(np.arange(len(n)), n)[:8]),
    min_size=1,
    max_size=4,
).map(lambda rows: np.array([np.append(r, np.full(8 - len(r), -1)) for r in rows], np.int32))


@given(rows_of_documents)
def test_masks_positions_boundaries_and_labels_say_the_same(owners):
    mask, places = attention_mask(owners), position_ids(owners)
    edges, longest = cu_seqlens(owners)
    tokens = np.arange(owners.size).reshape(owners.shape) + 100
    labels = causal_labels(tokens, owners)
    flat = list(range(owners.size))
    runs = [flat[a:b] for a, b in pairwise(edges)]
    assert mask.shape == (len(owners), 1, 8, 8)
    assert max(map(len, runs)) == longest
    for run in runs:
        row = run[0] // 8
        assert {i // 8 for i in run} == {row}
        assert len({owners.reshape(-1)[i] for i in run}) == 1
        for n, i in enumerate(run):
            assert places[row, i % 8] == n
            assert np.flatnonzero(mask[row, 0, i % 8]).tolist() == [j % 8 for j in run[: n + 1]]
            is_target = n > 0 and owners[row, i % 8] >= 0
            assert labels[row, i % 8] == (tokens[row, i % 8] if is_target else -100)


def test_a_batch_has_the_positions_of_its_documents(corpus):
    _, batch = epoch(corpus, Source(corpus.tokens))
    assert batch["position_ids"].dtype == np.int64
    for owners, places in zip(batch["document_ids"], batch["position_ids"], strict=True):
        for owner in set(owners.tolist()):
            own = places[owners == owner]
            assert own.tolist() == list(range(len(own)))
