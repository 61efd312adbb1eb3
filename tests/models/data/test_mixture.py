"""Shares of sources: by tokens, exact at all times; and how a mixture ends."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import ConfigError
from speechprep.models.data import Reader, Source
from speechprep.models.data.schedule import PERIOD, Schedule

CONTEXT = 64  # of the rows of `packed`, see conftest

MIXED = ("cst_ut", "cst_tu", "ast")


def thirds(corpus, **options) -> list[Source]:
    return [Source(corpus.tokens, kinds=k, weight=1, **options) for k in (("unit",), ("text",), MIXED)]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_after_any_number_of_rows_each_source_has_had_its_share(rates):
    schedule = Schedule.of([Fraction(r) for r in rates])
    n = min(3 * len(schedule.order), 5000)
    which, number = schedule.locate(np.arange(n))
    exact = np.array(rates) / sum(rates)
    for i, share in enumerate(exact):
        taken = np.cumsum(which == i)
        assert np.abs(taken - share * np.arange(1, n + 1)).max() <= len(rates) / 2 + 1 + n * len(rates) / PERIOD
        assert number[which == i].tolist() == list(range(int(taken[-1])))
        if taken[-1]:
            assert schedule.first_row(i, int(taken[-1]) - 1) == np.flatnonzero(which == i)[-1]


def test_simple_shares_are_met_exactly_and_far_rows_cost_nothing():
    schedule = Schedule.of([Fraction(1, 3)] * 3)
    assert schedule.counts.tolist() == [1, 1, 1]
    which, _ = schedule.locate(np.array([10**12, 10**12 + 1, 10**12 + 2]))
    assert sorted(which.tolist()) == [0, 1, 2]
    assert Schedule.of([Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]).counts.tolist() == [2, 1, 1]
    assert Schedule.of([Fraction(1), Fraction(1, 10**9)]).counts.min() == 1


@pytest.mark.parametrize("documents", ["split", "whole"])
def test_thirds_are_thirds_of_the_tokens(corpus, documents):
    reader = Reader(
        thirds(corpus, documents=documents, long="cut"),
        CONTEXT,
        vocabulary=corpus.vocabulary,
        batch_rows=8,
        window_tokens=4000,
    )
    rows = np.zeros(3)
    tokens = np.zeros(3)
    epochs = max(s.rows for s in reader.streams)
    for batch in islice(reader, 2 * epochs):
        own = (batch["document_ids"] >= 0).sum(axis=1)
        tokens += np.bincount(batch["sources"], own, 3)
        rows += np.bincount(batch["sources"], minlength=3)
    assert np.abs(tokens / tokens.sum() - 1 / 3).max() < 0.01
    assert np.allclose([f["share_of_tokens"] for f in reader.facts()], 1 / 3, atol=1e-4)
    assert np.allclose([f["share_of_rows"] for f in reader.facts()], rows / rows.sum(), atol=2e-3)


def test_shares_of_rows_are_counted_where_asked_for(corpus):
    """Mixed supervision: half of the samples pairs, a quarter speech only, a quarter text only."""
    kinds = [("cst_ut", "cst_tu"), ("unit",), ("text",)]
    given = [
        Source(corpus.tokens, kinds=k, weight=w, documents="single", long="cut")
        for k, w in zip(kinds, (2, 1, 1), strict=True)
    ]
    reader = Reader(given, CONTEXT, vocabulary=corpus.vocabulary, batch_rows=8, share="rows")
    for batch in islice(reader, 50):
        assert np.bincount(batch["sources"]).tolist() == [4, 2, 2]


def test_a_source_has_only_its_kinds(corpus):
    reader = Reader(thirds(corpus), CONTEXT, vocabulary=corpus.vocabulary, names=True)
    for batch in islice(reader, 100):
        for source, names in zip(batch["sources"].tolist(), batch["names"], strict=True):
            assert {n.split("#")[1] for n in names} <= set((("unit",), ("text",), MIXED)[source])


def test_a_mixture_without_weights_reads_each_source_once(corpus):
    reader = Reader(
        [Source(corpus.tokens, kinds=("unit",)), Source(corpus.packed)],
        CONTEXT,
        vocabulary=corpus.vocabulary,
        end="all",
        names=True,
    )
    rows = [s.rows for s in reader.streams]
    assert reader.total == sum(rows)
    seen = [(s, n) for b in reader for s, n in zip(b["sources"].tolist(), b["samples"].tolist(), strict=True)]
    assert sorted(seen) == [(i, n) for i in range(2) for n in range(rows[i])]


def test_a_mixture_ends_with_the_first_or_the_last_source_or_never(corpus):
    given = [Source(corpus.tokens, kinds=("text",), weight=1), Source(corpus.packed, weight=1)]

    def counts(**options) -> tuple[list[int], list[int]]:
        reader = Reader(given, CONTEXT, vocabulary=corpus.vocabulary, batch_rows=3, **options)
        sources = [s for b in reader for s in b["sources"].tolist()]
        assert len(sources) == reader.total
        assert len(reader) == -(-reader.total // 3)
        return [sources.count(0), sources.count(1)], [s.rows for s in reader.streams]

    seen, have = counts(end="first")
    assert seen[0] == have[0] < have[1]
    assert abs(seen[1] - seen[0]) <= 2
    seen, have = counts(end="all")
    assert seen[1] == have[1]
    assert abs(seen[1] - seen[0]) <= 2
    seen, have = counts(end="first", epochs=2)
    assert seen[0] == 2 * have[0]
    endless = Reader(given, CONTEXT, vocabulary=corpus.vocabulary)
    with pytest.raises(ConfigError, match="no length"):
        len(endless)


@pytest.mark.parametrize("world", [1, 3])
def test_the_last_step_is_left_out_or_shared_by_the_ranks_that_it_suffices_for(corpus, world):
    def all_rows(**options) -> list[list[int]]:
        found = []
        for rank in range(world):
            reader = Reader(
                [Source(corpus.packed)],
                CONTEXT,
                vocabulary=corpus.vocabulary,
                end="first",
                rank=rank,
                world=world,
                batch_rows=4,
                **options,
            )
            batches = list(reader)
            assert len(batches) == len(reader)
            assert reader.state()["row"] <= reader.total
            found.append([r for b in batches for r in b["rows"].tolist()])
        return found

    total = Reader([Source(corpus.packed)], CONTEXT, vocabulary=corpus.vocabulary).streams[0].rows
    assert sorted(chain(*all_rows())) == list(range(total))
    dropped = all_rows(drop_last=True)
    assert len({len(r) for r in dropped}) == 1
    assert sorted(chain(*dropped)) == list(range(total // (4 * world) * 4 * world))
