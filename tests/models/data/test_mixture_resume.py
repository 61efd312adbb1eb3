"""A mixture that stops and goes on keeps its shares: its order is that of a slow apportionment counted from row 0."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.errors import StaleArtifact
from speechprep.models.data import Reader, Source
from speechprep.models.data.schedule import Schedule

CONTEXT = 64
KINDS = (("unit",), ("text",), ("cst_ut", "cst_tu", "ast"))
WEIGHTS = [(1, 1, 1), (2, 1, 1), (5, 3, 1), (0.5, 0.25, 0.125)]


def oracle(weights: tuple[float, ...], n: int) -> list[tuple[int, int]]:
    """Webster's method: the next row goes to the source with the smallest (rows it has + 1/2) / weight."""
    counts = [0] * len(weights)
    rows = []
    for _ in range(n):
        due = [
            (Fraction(2 * count + 1, 2) / Fraction(weight), i)
            for i, (count, weight) in enumerate(zip(counts, weights, strict=True))
        ]
        source = min(due)[1]
        rows.append((source, counts[source]))
        counts[source] += 1
    return rows


def source_of(corpus, i: int, weight: float | None = None) -> Source:
    return Source(corpus.tokens, kinds=KINDS[i], weight=weight, documents="single", long="cut")


def samples_of(corpus, i: int, n: int) -> list[int]:
    """The first samples of a source that is read alone."""
    batches = Reader([source_of(corpus, i)], CONTEXT, vocabulary=corpus.vocabulary, batch_rows=1)
    return [sample for batch in islice(batches, n) for sample in batch["samples"].tolist()]


def reader(corpus, weights: tuple[float, ...], share: str = "rows", **options) -> Reader:
    sources = [source_of(corpus, i, weight) for i, weight in enumerate(weights)]
    return Reader(sources, CONTEXT, vocabulary=corpus.vocabulary, batch_rows=2, share=share, **options)


def rows_of(batches) -> list[tuple[int, int, int]]:
    return [
        row
        for batch in batches
        for row in zip(batch["rows"].tolist(), batch["sources"].tolist(), batch["samples"].tolist(), strict=True)
    ]


def resumed(corpus, weights, stops: list[int], worlds: list[int], share: str = "rows") -> list[tuple[int, int, int]]:
    """Rows of a run that stops after each number of steps and goes on in a new reader, on so many ranks."""
    seen, state = [], None
    for steps, world in zip(stops, worlds, strict=True):
        states = []
        for rank in range(world):
            one = reader(corpus, weights, share, rank=rank, world=world)
            if state is not None:
                one.restore(state)
            seen += rows_of(islice(one, steps))
            states.append(json.loads(json.dumps(one.state())))
        assert all(each == states[0] for each in states)
        state = states[0]
    return sorted(seen)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_resumed_mixture_goes_on_with_the_exact_shares(corpus, weights):
    seen = resumed(corpus, weights, [7, 1, 13, 20], [1, 3, 2, 1])
    expected = oracle(weights, len(seen))
    assert len(seen) == 2 * (7 + 3 + 26 + 20)
    alone = [samples_of(corpus, i, len(seen)) for i in range(3)]
    assert seen == [(row, source, alone[source][number]) for row, (source, number) in enumerate(expected)]


def test_shares_of_tokens_are_exact_after_a_stop(corpus):
    """The rate of a source is its weight over the mean tokens of its rows, counted here row by row."""
    rates = []
    for i, weight in enumerate((2, 1, 3)):
        batches = list(Reader([source_of(corpus, i)], CONTEXT, vocabulary=corpus.vocabulary, batch_rows=1, end="all"))
        tokens = sum(int((batch["document_ids"] >= 0).sum()) for batch in batches)
        rates.append(Fraction(weight * len(batches), tokens))
    seen = resumed(corpus, (2, 1, 3), [40, 30, 80], [2, 1, 3], share="tokens")
    alone = [samples_of(corpus, i, len(seen)) for i in range(3)]
    counts = [0, 0, 0]
    for row, source, sample in seen:
        assert sample == alone[source][counts[source]], "no row of a source is skipped or read twice"
        counts[source] += 1
        for i, rate in enumerate(rates):
            assert abs(counts[i] - rate / sum(rates) * (row + 1)) <= 2


@pytest.mark.parametrize(("before", "after"), [((1, 1, 1), (1, 1, 2)), ((2, 1, 1), (1, 2, 1))])
def test_a_state_of_other_weights_is_refused_with_both(corpus, before, after):
    one = reader(corpus, before)
    list(islice(one, 5))
    with pytest.raises(StaleArtifact, match="schedule"):
        reader(corpus, after).restore(json.loads(json.dumps(one.state())))


def test_weights_in_the_same_proportion_are_the_same_mixture(corpus):
    one, other = reader(corpus, (1, 2, 3)), reader(corpus, (10, 20, 30))
    list(islice(one, 5))
    other.restore(json.loads(json.dumps(one.state())))
    assert rows_of(islice(other, 5)) == rows_of(islice(one, 5))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 10**6))
def test_the_schedule_is_that_of_the_oracle_from_any_row_on(weights, begin):
    schedule = Schedule.of([Fraction(weight) for weight in weights])
    period = sum(weights)
    rows = oracle(tuple(weights), period)
    for row in range(begin, begin + 3):
        source, number = rows[row % period]
        which, numbers = schedule.locate(row + 0 * schedule.counts[:1])
        assert (int(which[0]), int(numbers[0])) == (source, number + row // period * weights[source])
        assert schedule.first_row(source, int(numbers[0])) == row
