"""The reader of a run: which folders, which rows, which transcripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers import rowmaking

from speechprep.artifacts.datasets import KINDS, Kind, find_kind, kinds
from speechprep.artifacts.run import open_dataset, open_run
from speechprep.artifacts.schemas import UTTERANCES, WORDS
from speechprep.errors import StaleArtifact


def filled(schema: pa.Schema, row: dict[str, Any]) -> dict[str, Any]:
    return {field.name: row.get(field.name) for field in schema}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    utterances = [{"id": f"u{i}", "text": f"corpus {i}" if i != 3 else None} for i in range(6)]
    words = [
        {"id": f"u{i}", "text": f"aligned {i}", "source_text": None if i == 3 else f"corpus {i}", "kept": i % 2 == 0}
        for i in range(6)
    ]
    for folder, kind, schema, rows in (
        ("utterances", "utterances", UTTERANCES, utterances),
        ("words", "words", WORDS, words),
        ("a-filtered", "words", WORDS, words[:1]),
    ):
        full = [filled(schema, row) for row in rows]
        rowmaking.write_dataset(tmp_path / folder, kind, schema, [full[: len(full) // 2], full[len(full) // 2 :]])
    (tmp_path / "units" / "_state").mkdir(parents=True)
    (tmp_path / "run.json").write_text('{"recipe": "speech"}')
    return tmp_path


def test_a_run_has_its_complete_datasets_in_the_order_of_the_chain(run):
    opened = open_run(str(run))
    assert opened.kinds() == ["utterances", "words"]
    assert opened.incomplete == ("units",)
    assert opened.record == {"recipe": "speech"}
    assert "units" not in opened
    assert opened.get("units") is None
    with pytest.raises(StaleArtifact, match="no 'units'; it has: utterances, words"):
        opened["units"]


def test_of_two_folders_of_a_kind_the_one_named_by_it_is_read(run):
    assert open_run(str(run))["words"].uri.endswith("/words")


def test_batches_have_the_columns_and_rows_in_order(run):
    words = open_run(str(run))["words"]
    assert [id for b in words.batches(["id"], rows=2) for id in b.column("id").to_pylist()] == [
        f"u{i}" for i in range(6)
    ]
    assert words.table(["id", "kept"]).num_rows == words.rows == 6
    assert [b.num_rows for b in words.batches(["id"], shard=words.shards[1])] == [3]
    assert words.find("u4")["text"] == "aligned 4"
    assert words.find("nobody") is None
    assert words.schema == WORDS


def test_transcripts_honour_the_verdict_and_the_text_that_was_aligned(run):
    opened = open_run(str(run))
    assert list(opened.transcripts()) == [("u0", "aligned 0"), ("u2", "aligned 2"), ("u4", "aligned 4")]
    assert list(opened.transcripts("corpus")) == [("u0", "corpus 0"), ("u2", "corpus 2"), ("u4", "corpus 4")]


def test_without_words_the_transcripts_are_those_of_the_corpus(run):
    only = open_run(str(run / "utterances"))
    assert list(only.transcripts()) == [(f"u{i}", f"corpus {i}") for i in range(6) if i != 3]


def test_one_folder_is_a_dataset(run):
    assert open_dataset(str(run / "words")).kind == "words"
    with pytest.raises(StaleArtifact, match="not complete"):
        open_dataset(str(run / "units"))


def test_every_kind_is_described_and_its_ids_come_from_a_kind_before_it():
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    for kind in KINDS:
        assert kind.description
        roles = (kind.ids_from,) if isinstance(kind.ids_from, str) else kind.ids_from or ()
        assert all(names.index(role) < names.index(kind.name) for role in roles)
        assert callable(kind.schema) == (kind.example is not None)


def test_a_kind_of_another_package_joins_the_table(monkeypatch):
    from speechprep import registry

    monkeypatch.setitem(registry.FAMILIES, "datasets", {"phrases": "helpers.toy_kind:PHRASES"})
    assert list(kinds())[-1] == "phrases"
    assert find_kind("phrases").schema_of({}) == pa.schema([("id", pa.string())])
    assert find_kind("of an absent package") == Kind("of an absent package", "")
