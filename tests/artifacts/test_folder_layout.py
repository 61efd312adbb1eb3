"""Other tools read a dataset folder, and folders of earlier versions are read and moved."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from helpers import export_runs as runs

from speechprep.artifacts import manifest
from speechprep.artifacts.cards import run as run_card
from speechprep.artifacts.run import REJECTS, move_to_layout, open_dataset, open_run, rejects_folder
from speechprep.artifacts.schemas import REJECTS as SCHEMA
from speechprep.artifacts.shards import ShardWriter, shard_name


@pytest.fixture
def run(tmp_path):
    folder = runs.write_run(tmp_path / "run", runs.corpus(tmp_path / "corpus"), 3)
    with ShardWriter(str(folder / "words" / REJECTS / shard_name(0, 3)), SCHEMA) as writer:
        writer.write([{field.name: "x" for field in SCHEMA}])
    run_card.write(str(folder))
    return folder


def earlier(folder):
    """The folder as earlier versions wrote it."""
    (folder / manifest.NAME).rename(folder / "manifest.json")
    (folder / REJECTS).rename(folder / "rejects")
    (folder / "README.md").write_text("Made by the stage `align` of speechprep.")
    return folder


def test_pandas_and_pyarrow_read_a_dataset_folder(run):
    pandas = pytest.importorskip("pandas")
    for dataset in open_run(str(run)).datasets.values():
        rows = list(dataset.records())
        assert pq.read_table(dataset.uri).to_pylist() == rows
        assert pandas.read_parquet(dataset.uri)["id"].tolist() == [row["id"] for row in rows]


@pytest.mark.reference
def test_polars_and_duckdb_read_the_files_of_a_dataset_folder(run):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    for dataset in open_run(str(run)).datasets.values():
        ids = [row["id"] for row in dataset.records(["id"])]
        assert polars.read_parquet(f"{dataset.uri}/*.parquet")["id"].to_list() == ids
        assert [id for (id,) in duckdb.sql(f"select id from '{dataset.uri}/*.parquet'").fetchall()] == ids


def test_a_folder_of_an_earlier_version_is_read(run):
    rows = list(open_dataset(str(run / "words")).records())
    old = open_dataset(str(earlier(run / "words")))
    assert list(old.records()) == rows
    assert rejects_folder(old.uri).endswith("words/rejects")
    assert [batch.num_rows for batch in old.rejects()] == [1]
    assert open_run(str(run)).kinds() == ["utterances", "words", "units"]


def test_a_folder_of_an_earlier_version_is_moved_and_a_present_one_stays(run):
    before = {p.name: p.read_bytes() for p in run.rglob("*") if p.is_file() and "words" in p.parts}
    move_to_layout(str(run / "words"))
    assert before == {p.name: p.read_bytes() for p in run.rglob("*") if p.is_file() and "words" in p.parts}
    move_to_layout(str(earlier(run / "words")))
    assert sorted(p.name for p in (run / "words").iterdir()) == [REJECTS, *(shard_name(i, 3) for i in range(3))]
    assert pq.read_table(run / "words" / REJECTS).num_rows == 1


def test_files_of_the_user_stay_when_a_folder_is_moved(run):
    old = earlier(run / "words")
    (old / "README.md").write_text("My notes.")
    (old / "rejects" / "notes.txt").write_text("My notes.")
    move_to_layout(str(old))
    assert (old / "README.md").exists()
    assert [p.name for p in (old / "rejects").iterdir()] == ["notes.txt"]
