"""Names, order and layers of an export."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
from hypothesis import given

from speechprep.pipelines.export.names import MAX_BYTES, safe_name, unique_names
from speechprep.pipelines.export.order import sort_records
from speechprep.pipelines.export.rows import Span
from speechprep.pipelines.export.writer import one_line, one_token
from speechprep.pipelines.export.writers.huggingface import split_name
from speechprep.pipelines.export.writers.textgrid import layers

TEXT = st.text(max_size=300) | st.sampled_from(["a", "A", "a b", "a/b", "../x", ".", "", "a-b", "é", "e\u0301", "\x00"])


@given(TEXT)
def test_a_name_is_one_token_and_no_path(text):
    name = safe_name(text)
    assert name
    assert len(name.encode()) <= MAX_BYTES
    assert not set(name) & set('/\\:*?"<>| \t\r\n\0')
    assert name not in (".", "..")
    assert name.split() == [name]
    assert safe_name(name) == name


@given(st.dictionaries(st.text(max_size=5), TEXT, max_size=12), st.randoms(use_true_random=False))
def test_names_are_unique_on_any_file_system_and_independent_of_the_order(wanted, random):
    names = unique_names(wanted.items())
    assert names.keys() == wanted.keys()
    assert len({name.casefold() for name in names.values()}) == len(names)
    shuffled = list(wanted.items())
    random.shuffle(shuffled)
    assert unique_names(shuffled) == names


def test_a_name_without_a_rival_stays():
    assert unique_names([("1", "a b"), ("2", "c"), ("3", "C")])["1"] == "a_b"
    assert unique_names([("1", "a"), ("2", "c")]) == {"1": "a", "2": "c"}


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 9), st.text(max_size=3)), unique=True), st.integers(1, 5))
def test_the_external_sort_is_a_sort(tmp_path_factory, keys, run):
    records = ((key, {"key": list(key)}) for key in keys)
    got = [record["key"] for record in sort_records(records, tmp_path_factory.mktemp("sort"), run)]
    assert got == [list(key) for key in sorted(keys)]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=30))
def test_layers_have_no_overlap_and_lose_nothing(rows):
    spans = [Span(float(start), float(start + length), "x") for start, length in rows]
    result = layers(spans)
    assert sorted(span for layer in result for span in layer) == sorted(spans)
    for layer in result:
        assert all(a.end <= b.start for a, b in itertools.pairwise(layer))
    deepest = max((sum(s.start <= t < s.end for s in spans) for t in range(30)), default=0)
    assert len(result) == deepest


@given(TEXT)
def test_labels_fit_on_one_line_and_into_one_field(text):
    assert one_line(text).splitlines() in ([one_line(text)], [])
    assert one_line(one_line(text)) == one_line(text)
    assert len(one_token(text).split()) <= 1
    assert all(c.isascii() and (c.isalnum() or c == "_") for c in split_name(text))
