"""Error rates equal a loop over all triples; chance and perfect units have the known rates."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.abx import score
from speechprep.tokenizers.abx.dtw import one_hot, segment_distances
from speechprep.tokenizers.abx.score import Segments, error_rates, possible_triples

SEGMENT = st.tuples(
    st.sampled_from("abcd"),  # phone
    st.sampled_from(["", "x"]),  # context
    st.sampled_from(["s", "t", "u"]),  # speaker
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
)
TABLES = st.lists(SEGMENT, min_size=1, max_size=14)


def segments(table) -> Segments:
    units = [np.array(row[3], np.uint16) for row in table]
    contexts = [(row[1],) for row in table]
    offsets = np.cumsum([0, *map(len, units)])
    return Segments(np.concatenate(units), offsets, [r[0] for r in table], contexts, [r[2] for r in table])


def everyone(context, speaker, others):
    return others


def by_loop(table, across: bool) -> tuple[float | None, int]:
    """The mean of means over all triples, by the definition."""
    made = segments(table)
    n = range(len(table))
    distance = segment_distances(
        made.units, made.offsets, *(np.array(x) for x in zip(*product(n, n), strict=True)), one_hot
    ).reshape(len(table), -1)
    cells = defaultdict(list)
    for a, b, x in product(n, n, n):
        (pa, ca, sa, _), (pb, cb, sb, _), (px, cx, sx, _) = table[a], table[b], table[x]
        if a != x and pa == px != pb and ca == cb == cx and sa == sb and (sx != sa if across else sx == sa):
            error = 1.0 if distance[b, x] < distance[a, x] else 0.5 if distance[b, x] == distance[a, x] else 0.0
            cells[pa, pb, sa, sx, ca].append(error)
    levels = {key: float(np.mean(errors)) for key, errors in cells.items()}
    for _ in ("contexts", "speakers", "phones"):
        grouped = defaultdict(list)
        for key, error in levels.items():
            size = {5: 4, 4: 2, 2: 0}[len(key)]
            grouped[key[:size]].append(error)
        levels = {key: float(np.mean(errors)) for key, errors in grouped.items()}
    return levels.get(()), sum(map(len, cells.values()))


@given(TABLES)
def test_the_rates_equal_a_loop_over_all_triples(table):
    within, across = error_rates(segments(table), one_hot, everyone)
    for rate, wanted in ((within, by_loop(table, across=False)), (across, by_loop(table, across=True))):
        assert rate.triples == wanted[1]
        assert rate.error == (None if wanted[0] is None else pytest.approx(wanted[0]))


@given(TABLES)
def test_the_number_of_possible_triples_is_that_of_the_loop(table):
    counts: dict = {}
    for phone, context, speaker, _ in table:
        counts.setdefault((context,), {}).setdefault(speaker, Counter())[phone] += 1
    assert possible_triples(counts) == tuple(by_loop(table, across=across)[1] for across in (False, True))


@given(TABLES, st.randoms(use_true_random=False))
def test_neither_the_order_of_the_segments_nor_the_blocks_change_a_rate(table, random):
    wanted = error_rates(segments(table), one_hot, everyone)
    shuffled = list(table)
    random.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "PAIRS", 3)
        rates = error_rates(segments(shuffled), one_hot, everyone)
    for rate, one in zip(rates, wanted, strict=True):
        assert rate.pairs() == pytest.approx(one.pairs())
        assert rate.triples == one.triples


def test_units_that_are_phones_have_no_error_and_equal_units_are_at_chance():
    rows = [(phone, "", speaker, i % 2) for i in range(4) for phone in "ab" for speaker in "st"]
    perfect = [(p, c, s, ["ab".index(p)]) for p, c, s, _ in rows]
    assert [rate.error for rate in error_rates(segments(perfect), one_hot, everyone)] == [0.0, 0.0]
    constant = [(p, c, s, [0]) for p, c, s, _ in rows]
    assert [rate.error for rate in error_rates(segments(constant), one_hot, everyone)] == [0.5, 0.5]


def test_the_error_of_a_phone_is_the_mean_over_its_pairs():
    table = [("a", "", "s", [0]), ("a", "", "s", [0]), ("b", "", "s", [0]), ("c", "", "s", [1]), ("c", "", "s", [1])]
    within, across = error_rates(segments(table), one_hot, everyone)
    assert within.pairs() == {("a", "b"): 0.5, ("a", "c"): 0.0, ("c", "a"): 0.0, ("c", "b"): 0.0}
    assert within.by_phone() == {"a": pytest.approx(1 / 6), "b": 0.25, "c": 0.0}
    assert across.error is None
    assert across.by_phone() == {}
