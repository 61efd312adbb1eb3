"""The card of a dataset folder: made of manifest and schema alone, and what `datasets` reads the folder by."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.cards import dataset as card
from speechprep.artifacts.schemas import PACKED, REJECTS, UTTERANCES
from speechprep.artifacts.shards import ShardWriter, shard_name

ROWS = [
    {"input_ids": [i] * 4, "document_ids": [0] * 4, "modality_ids": [1] * 4, "ids": [f"u{i}#text"]} for i in range(9)
]


@pytest.fixture
def packed(tmp_path) -> Path:
    folder = made.write_dataset(tmp_path / "packed", "packed", PACKED, [ROWS[:5], ROWS[5:]])
    card.write(str(folder), manifest.read(str(folder)))
    return folder


def test_the_front_matter_names_the_shards_and_the_tables_name_all_columns(packed):
    text = (packed / card.NAME).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "part-*.parquet"}]}
    ]
    for field in PACKED:
        assert f"| `{field.name}` | {card.kind(field.type)} |" in text
    assert "| rows | 9 |" in text
    assert "| shards | 2 |" in text


def test_it_says_licences_and_options_but_no_place(packed):
    of = {"stage": "align", "version": 2, "config": {"min_score": -4.0, "audio_root": "/home/me", "no": None}}
    known = manifest.Manifest("words", "", "", of, [], {"seconds|x": 1.5}, ["CC0-1.0 | a\nb"], {})
    text = card.text(known, UTTERANCES)
    assert "| CC0-1.0 \\| a b |" in text
    assert "| seconds\\|x | 1.5 |" in text
    assert "| `min_score` | `-4.0` |" in text
    assert "/home/me" not in text
    assert "`no`" not in text


def test_a_folder_without_shards_gets_no_card(tmp_path):
    folder = made.write_vocabulary(tmp_path / "subword", made.build_vocabulary(tmp_path / "models", None))
    card.write(str(folder), manifest.read(str(folder)))
    assert not (folder / card.NAME).exists()


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
def test_datasets_reads_the_folder_and_nothing_that_lies_beside_the_shards(packed, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with ShardWriter(str(packed / "rejects" / shard_name(0, 2)), REJECTS) as writer:
        writer.write([{field.name: "x" for field in REJECTS}])
    by_card = datasets.load_dataset(str(packed), split="train", cache_dir=str(tmp_path / "cache"))
    assert by_card.to_list() == ROWS
    files = sorted(str(p) for p in packed.glob("part-*.parquet"))
    by_files = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert by_files.to_list() == ROWS
    streamed = datasets.load_dataset(str(packed), split="train", streaming=True)
    assert list(streamed) == ROWS
