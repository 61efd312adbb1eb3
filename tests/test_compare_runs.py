"""`scripts/compare_runs.py` on pairs of small run folders that differ in one place."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[1]

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(ROOT / "scripts"))
    import compare_runs
    import run_values

WORD = pa.struct([("text", pa.string()), ("start", pa.float64()), ("score", pa.float32())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("words", pa.list_(WORD)),
        ("vector", pa.list_(pa.float32(), 2)),
        ("codebook", pa.string()),
        ("kept", pa.bool_()),
    ]
)
SHARD = "units/part-00000-of-00001.parquet"
FINGERPRINT = {"units": "1" * 64, "codebook": "2" * 64}


def rows() -> list[dict[str, Any]]:
    words = [{"text": "a", "start": 0.1, "score": -1.5}, None, {"text": "b", "start": 0.5, "score": None}]
    return [
        {"id": "u0", "words": words, "vector": [0.0, 1.0], "codebook": FINGERPRINT["codebook"], "kept": True},
        {"id": "u1", "words": [], "vector": [float("nan"), 1.0], "codebook": FINGERPRINT["codebook"], "kept": None},
        {"id": "u2", "words": None, "vector": [2.0, 3.0], "codebook": None, "kept": False},
    ]


def write(run: Path, data: list[dict[str, Any]], schema: pa.Schema = SCHEMA, **options: Any) -> None:
    pq.write_table(pa.Table.from_pylist(data, schema), run / SHARD, **{"compression": "zstd", **options})


def make_run(run: Path) -> Path:
    for name, fingerprint in FINGERPRINT.items():
        (run / name).mkdir(parents=True)
        body = {"kind": name, "fingerprint": fingerprint, "made_of": {"seed": 0}, "versions": {"pyarrow": "1"}}
        body |= {"extra": {"codebook": FINGERPRINT["codebook"]}, "counters": {"frames": 3}}
        (run / name / "_manifest.json").write_text(json.dumps(body))
    write(run, rows())
    np.save(run / "codebook/centroids.npy", np.array([[0.0, 1.0]], np.float32))
    (run / "codebook/text.model").write_bytes(b"pieces")
    (run / "run.json").write_text(json.dumps({"recipe": "demo", "stages": [{"name": "units", "rows": 3}]}))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return make_run(tmp_path / "a"), Path(shutil.copytree(tmp_path / "a", tmp_path / "b"))


def places(runs: tuple[Path, Path], **options: Any) -> list[tuple[str, int | None, str]]:
    differences = compare_runs.compare_runs(*runs, **options).differences
    return [(f"{d.folder}/{d.file}", d.row, d.column) for d in differences]


def edit(path: Path, **change: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def test_a_run_equals_its_copy_and_every_value_is_counted(runs):
    result = compare_runs.compare_runs(*runs, strict=True)
    assert result.equal
    assert (result.folders, result.shards, result.rows, result.values, result.artifacts) == (2, 1, 3, 15, 5)


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("words", 0, [{"text": "a", "start": 0.1, "score": -1.5}, None, {"text": "b", "start": 0.5, "score": 0.0}]),
        ("words", 2, []),
        ("vector", 0, [-0.0, 1.0]),
        ("vector", 1, [float("inf"), 1.0]),
        ("codebook", 1, "3" * 64),
        ("kept", 1, False),
        ("id", 2, "u3"),
    ],
)
def test_one_changed_value_is_named_with_shard_row_column_and_both_values(runs, column, row, value):
    data = rows()
    before, data[row][column] = data[row][column], value
    write(runs[1], data)
    (difference,) = compare_runs.compare_runs(*runs).differences
    assert (f"{difference.folder}/{difference.file}", difference.row, difference.column) == (
        SHARD,
        row,
        f"column {column!r}",
    )
    assert (difference.left, difference.right, difference.rows) == (repr(before), repr(value), 1)


def test_the_last_bit_of_a_float_counts(runs):
    data = rows()
    (bits,) = struct.unpack("<q", struct.pack("<d", 0.1))
    data[0]["words"][0]["start"] = struct.unpack("<d", struct.pack("<q", bits + 1))[0]
    write(runs[1], data)
    assert places(runs) == [(SHARD, 0, "column 'words'")]


def test_a_missing_row_is_a_difference_also_at_the_end(runs):
    write(runs[1], rows()[:2])
    found = places(runs)
    assert (SHARD, None, "number of rows") in found
    assert not [place for place in found if place[2].startswith("column")]


def test_rows_in_another_order_differ(runs):
    data = rows()
    write(runs[1], [data[1], data[0], data[2]])
    assert (SHARD, 0, "column 'id'") in places(runs)


def test_another_type_order_or_set_of_columns_is_a_difference_of_the_schema(runs):
    write(runs[1], rows(), SCHEMA.set(0, pa.field("id", pa.large_string())))
    assert (SHARD, None, "schema.fields.id.type") in places(runs)
    write(runs[1], rows(), pa.schema([SCHEMA.field(i) for i in (1, 0, 2, 3, 4)]))
    assert any(column.startswith("schema.order") for _, _, column in places(runs))
    write(runs[1], rows(), SCHEMA.remove(4))
    assert (SHARD, None, "schema.fields.kept") in places(runs)


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"compression": "snappy"}, "compression"),
        ({"row_group_size": 2}, "footer.row_groups"),
        ({"use_dictionary": False}, "encodings"),
        ({"write_statistics": False}, "statistics"),
        ({"version": "1.0"}, "footer.format_version"),
    ],
)
def test_a_changed_footer_differs_though_the_rows_are_equal(runs, options, column):
    write(runs[1], rows(), **options)
    found = places(runs)
    assert any(column in place[2] for place in found)
    assert all(place[2].startswith("footer") for place in found)


def test_metadata_in_the_footer_is_compared(runs):
    write(runs[1], rows(), SCHEMA.with_metadata({"note": "x"}))
    assert (SHARD, None, "footer.metadata.note") in places(runs)


def test_fingerprints_may_differ_but_must_be_used_in_the_same_places(runs):
    other = "4" * 64
    data = [{**row, "codebook": other if row["codebook"] else None} for row in rows()]
    write(runs[1], data)
    assert places(runs) == [(SHARD, 0, "column 'codebook'")]
    edit(runs[1] / "codebook/_manifest.json", fingerprint=other, extra={"codebook": other})
    assert places(runs) == [("units/_manifest.json", None, "extra.codebook")]
    edit(runs[1] / "units/_manifest.json", extra={"codebook": other})
    assert places(runs) == []
    assert places(runs, strict=True) != []


def test_versions_never_count_and_what_enters_a_fingerprint_is_a_note(runs):
    edit(runs[1] / "units/_manifest.json", versions={"pyarrow": "2"}, made_of={"seed": 1})
    result = compare_runs.compare_runs(*runs)
    assert result.equal
    assert [(note.column, note.left, note.right) for note in result.notes] == [("made_of.seed", "0", "1")]
    assert places(runs, strict=True) == [("units/_manifest.json", None, "made_of.seed")]


@pytest.mark.parametrize("name", ["codebook/text.model", "codebook/centroids.npy"])
def test_artifact_files_are_compared_by_their_bytes(runs, name):
    if name.endswith(".npy"):
        np.save(runs[1] / name, np.array([[-0.0, 1.0]], np.float32))
    else:
        (runs[1] / name).write_bytes(b"Pieces")
    assert [place[0] for place in places(runs)] == [name]


def test_counters_and_run_facts_are_compared(runs):
    edit(runs[1] / "units/_manifest.json", counters={"frames": 3.0})
    edit(runs[1] / "run.json", stages=[{"name": "units", "rows": 4, "seconds": 1.0}])
    assert places(runs) == [("./run.json", None, "stages[0].rows"), ("units/_manifest.json", None, "counters.frames")]


def test_a_file_on_one_side_only_is_a_difference(runs):
    shutil.rmtree(runs[1] / "codebook")
    (runs[1] / "units/README.md").write_text("a card is not compared")
    assert {(place[0], place[2]) for place in places(runs)} >= {("codebook/centroids.npy", "file")}
    assert {(place[0], place[2]) for place in places(runs[::-1])} >= {("codebook/centroids.npy", "file")}


def test_a_moved_path_prefix_and_an_ignored_column_are_no_differences(runs):
    data = rows()
    write(runs[0], [{**row, "id": f"/old/{row['id']}"} for row in data])
    write(runs[1], [{**row, "id": f"/new/{row['id']}"} for row in data])
    assert places(runs) == [(SHARD, 0, "column 'id'")]
    assert places(runs, paths={"/old": "/new"}) == []
    assert places(runs, ignore={"units.id"}) == []


def test_the_exit_code_is_1_on_a_difference_and_2_without_a_dataset(runs, tmp_path, capsys):
    assert compare_runs.main([str(run) for run in runs]) == 0
    assert capsys.readouterr().out.startswith("equal: 2 folders, 1 Parquet files, 3 rows")
    write(runs[1], rows()[::-1])
    assert compare_runs.main([str(run) for run in runs]) == 1
    assert f"{SHARD} row 0 column 'id': 'u0' | 'u2'  (2 rows differ)" in capsys.readouterr().out
    assert compare_runs.main([*map(str, runs), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["equal"] is False
    (tmp_path / "empty").mkdir()
    assert compare_runs.main([str(tmp_path / "empty"), str(runs[1])]) == 2


def test_floats_are_compared_bit_by_bit_at_any_depth():
    kind = pa.list_(pa.struct([("a", pa.list_(pa.float16(), 1)), ("b", pa.string())]))
    assert run_values.bit_type(kind) == pa.list_(pa.struct([("a", pa.list_(pa.int16(), 1)), ("b", pa.string())]))
