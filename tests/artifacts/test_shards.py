"""Shards are whole or absent, and their bytes depend on the rows alone."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.artifacts import schemas, shards, storage
from speechprep.errors import SchemaMismatch

SCHEMA = pa.schema(
    [("id", pa.string()), ("units", pa.list_(pa.uint16())), ("t", pa.list_(pa.float64())), ("b", pa.large_binary())]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text(max_size=5),
            "units": st.lists(st.integers(0, 65535), max_size=5),
            "t": st.lists(st.floats(allow_nan=False), max_size=3),
            "b": st.one_of(st.none(), st.binary(max_size=8)),
        }
    ),
    max_size=30,
)


def write(path, rows, cuts=()):
    with shards.ShardWriter(str(path), SCHEMA) as writer:
        for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            writer.write(rows[a:b])
    return writer


@settings(max_examples=30)
@given(ROWS, st.data())
def test_rows_come_back_and_bytes_do_not_depend_on_how_they_were_batched(tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("shards")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    one, many = write(folder / "one", rows), write(folder / "many", rows, cuts)
    assert one.sha256 == many.sha256
    assert one.rows == many.rows == len(rows)
    assert [r for b in shards.read_batches(str(folder / "one"), rows=7) for r in b.to_pylist()] == rows


def test_row_groups_are_cut_at_fixed_rows_for_any_batching(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 10)
    rows = [{"id": str(i), "units": [i], "t": [0.5], "b": None} for i in range(37)]
    one, many = write(tmp_path / "a", rows), write(tmp_path / "b", rows, [3, 4, 29])
    assert one.sha256 == many.sha256
    import pyarrow.parquet as pq

    assert [pq.ParquetFile(tmp_path / "a").metadata.row_group(i).num_rows for i in range(4)] == [10, 10, 10, 7]


def test_an_error_while_writing_leaves_no_file(tmp_path):
    def stopped() -> None:
        with shards.ShardWriter(str(tmp_path / "x.parquet"), SCHEMA) as writer:
            writer.write([{"id": "a", "units": [1], "t": [], "b": None}])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "x"
    storage.write_bytes(str(path), b"old")
    with storage.replace(str(path)) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_same_calls_work_on_an_object_store():
    root = "memory://bucket/run"
    with shards.ShardWriter(storage.join(root, "part-00000-of-00001.parquet"), SCHEMA) as writer:
        writer.write([{"id": "a", "units": [1, 2], "t": [0.5], "b": b"x"}])
    assert list(storage.sizes(root)) == ["part-00000-of-00001.parquet"]
    assert storage.sizes(root)["part-00000-of-00001.parquet"] == writer.size
    (batch,) = shards.read_batches(storage.join(root, "part-00000-of-00001.parquet"))
    assert batch.to_pylist() == [{"id": "a", "units": [1, 2], "t": [0.5], "b": b"x"}]
    storage.remove(root)
    assert not storage.exists(root)
    assert storage.sizes(root) == {}


def test_shard_names_sort_as_numbers():
    names = [shards.shard_name(i, 100_001) for i in (2, 100_000, 10)]
    assert shards.shard_names([*names, "other.parquet", names[0] + storage.TEMPORARY + "x"]) == [
        "part-00002-of-100001.parquet",
        "part-00010-of-100001.parquet",
        "part-100000-of-100001.parquet",
    ]


@pytest.mark.parametrize(
    "schema",
    [
        *(schemas.UTTERANCES, schemas.WORDS, schemas.TOKENS, schemas.PACKED, schemas.POOLED, schemas.REJECTS),
        *(schemas.units_schema(100), schemas.units_schema(100_000), schemas.vector_schema(4)),
    ],
)
def test_every_declared_schema_can_be_written_and_read_as_declared(tmp_path, schema):
    with shards.ShardWriter(str(tmp_path / "x"), schema) as writer:
        writer.write(schema.empty_table())
        writer.write([{f.name: [0] * 4 if pa.types.is_fixed_size_list(f.type) else None for f in schema}])
    schemas.check_schema(shards.read_schema(str(tmp_path / "x")), schema, "x")


def test_a_schema_of_another_type_or_name_is_refused_with_the_column():
    other = schemas.POOLED.set(3, pa.field("n_valid", pa.int64()))
    with pytest.raises(SchemaMismatch, match=r"here: column 'n_valid' is int64, declared is int32"):
        schemas.check_schema(other, schemas.POOLED, "here")
    with pytest.raises(SchemaMismatch, match="columns"):
        schemas.check_schema(schemas.POOLED.remove(0), schemas.POOLED, "here")
