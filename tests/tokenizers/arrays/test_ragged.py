"""Ragged arrays: every operation equals a loop over Python lists."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechprep.tokenizers.arrays import ragged

LENGTHS = st.lists(st.integers(0, 9), max_size=30)
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=30)
LISTS = st.lists(st.none() | st.lists(st.integers(-5, 300), max_size=6), max_size=20)


@given(LENGTHS)
def test_offsets_are_running_sums(lengths):
    expected = [0]
    for length in lengths:
        expected.append(expected[-1] + length)
    offsets = ragged.offsets_of(np.array(lengths, np.int32))
    assert offsets.tolist() == expected
    assert offsets.dtype == np.int64


@given(SPANS)
def test_ranges_are_those_of_python(spans):
    starts, lengths = [start for start, _ in spans], [length for _, length in spans]
    result = ragged.ranges(np.array(starts, np.int64), np.array(lengths, np.int64))
    assert result.tolist() == [i for start, length in spans for i in range(start, start + length)]


@pytest.mark.parametrize("block", [1, 3, 1 << 15])
@given(spans=SPANS)
def test_gathered_values_are_slices_one_after_the_other(block, spans):
    values = np.arange(50, dtype=np.int32) * 7
    starts, lengths = np.array([a for a, _ in spans], np.int64), np.array([n for _, n in spans], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragged, "_BLOCK", block)
        result = ragged.gather(values, starts, lengths)
    assert result.tolist() == [value for a, n in spans for value in values.tolist()[a : a + n]]
    assert result.dtype == np.int32


@given(LISTS, st.integers(0, 20), st.integers(0, 20))
def test_a_list_array_sliced_or_with_nulls_gives_its_values(lists, start, length):
    array = pa.array(lists, pa.list_(pa.int32())).slice(min(start, len(lists)), length)
    rows = [row or [] for row in array.to_pylist()]
    values, offsets = ragged.of_arrow(array)
    flat = values.to_pylist()
    assert [flat[a:b] for a, b in pairwise(offsets.tolist())] == rows
    assert offsets[0] == 0
    assert len(flat) == offsets[-1]
    assert ragged.to_arrow(values, offsets).to_pylist() == rows


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=4)), max_size=10))
def test_a_null_list_that_hides_values_counts_as_an_empty_one(rows):
    """In Arrow, a null list may have values."""
    flat = [value for _, values in rows for value in values]
    edges = [0]
    for _, values in rows:
        edges.append(edges[-1] + len(values))
    mask = pa.array([null for null, _ in rows], pa.bool_())
    array = pa.ListArray.from_arrays(pa.array(edges, pa.int32()), pa.array(flat, pa.int32()), mask=mask)
    values, offsets = ragged.of_arrow(array)
    result = [values.to_pylist()[a:b] for a, b in pairwise(offsets.tolist())]
    assert result == [[] if null else values for null, values in rows]
