"""The fast way through Parquet pages gives what pyarrow gives, or says that it cannot."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechprep.artifacts.shards import ShardWriter
from speechprep.models.data.parquet_pages import read_fixed

SCHEMA = pa.schema([("x", pa.list_(pa.int32()))])
WRITTEN = {"compression": "zstd", "use_dictionary": False, "column_encoding": {"x.list.element": "BYTE_STREAM_SPLIT"}}


def fast(path, length: int) -> np.ndarray | None:
    about = pq.read_metadata(path).row_group(0)
    column = about.column(0)
    data = path.read_bytes()[column.data_page_offset :][: column.total_compressed_size]
    out = np.empty((about.num_rows, length), np.int32)
    return out if read_fixed(memoryview(data), column, out) else None


def written(path, lists, **options):
    pq.write_table(pa.table({"x": pa.array(lists, pa.list_(pa.int32()))}), path, **{**WRITTEN, **options})
    return path


@given(
    st.integers(1, 40),
    st.integers(2, 300),
    st.sampled_from([2, 300, 70_000, 2**31 - 1]),
    st.integers(64, 5000),
    st.integers(0, 2**32 - 1),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lists_of_one_length_are_as_pyarrow_reads_them(tmp_path, rows, length, top, page, seed):
    values = np.random.default_rng(seed).integers(-1, top, (rows, length)).astype(np.int32)
    path = written(tmp_path / "a.parquet", values.tolist(), data_page_size=page, write_batch_size=64)
    found = fast(path, length)
    assert found is not None
    assert np.array_equal(found, values)


def test_what_our_writer_writes_is_read_this_way(tmp_path):
    values = np.arange(700 * 512).reshape(700, 512) % 50_000
    with ShardWriter(str(tmp_path / "a.parquet"), SCHEMA) as writer:
        writer.write([{"x": row} for row in values.tolist()])
    assert np.array_equal(fast(tmp_path / "a.parquet", 512), values)


@pytest.mark.parametrize(
    "lists",
    [
        [[1, 2], [3, 4, 5, 6], [7, 8, 9]],  # as many values as 3 x 3
        [[1, 2, 3], [4, 5, 6], [7, 8]],
        [[1, 2, 3], [4, 5, 6], None],
        [[1, 2, 3], [], [4, 5, 6]],
        [[1, 2, 3], [4, None, 6], [7, 8, 9]],
        [[1, 2, 3, 4, 5, 6, 7, 8, 9], [], []],
    ],
)
def test_other_lists_are_left_to_the_general_reader(tmp_path, lists):
    assert fast(written(tmp_path / "a.parquet", lists), 3) is None


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"use_dictionary": True, "column_encoding": None},
        {"column_encoding": None},
        {"data_page_version": "2.0"},
    ],
)
def test_other_pages_are_left_to_the_general_reader(tmp_path, options):
    assert fast(written(tmp_path / "a.parquet", [[1, 2, 3]] * 3, **options), 3) is None
