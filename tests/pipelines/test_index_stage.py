"""index and search: what is put in is found, what cannot be found is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import check_schema, vector_schema
from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.pipelines import index
from speechprep.pipelines.index import search

SOUNDS = [
    {"id": "s0", "audio": "dog.wav", "captions": ["Dog Bark 4"], "labels": ["dog"], "duration": 5.0},
    {"id": "s1", "audio": "rain.wav", "captions": ["rain on a tin roof", "heavy rain"], "duration": 4.0},
    {"id": "s2", "audio": "bells.wav", "labels": ["church_bells"], "duration": 3.0},
    {"id": "s3", "captions": ["a man speaks"], "audio": None, "duration": 2.0},
]
SPEECH = [
    {"id": "t0", "audio": "t0.wav", "text": "the old courtyard was dark", "duration": 2.0},
    {"id": "t1", "audio": "t1.wav", "text": "she went home", "duration": 1.0},
]


def build(make_corpus: Callable, run_stage: Callable, rows: list, options: dict | None = None, **more: Any) -> Path:
    n = more.pop("shards", 2)
    corpus = make_corpus(rows, n, name=more.pop("name", "utterances"))
    folder: Path = run_stage(index.STAGE, options or {}, {"utterances": corpus}, **more)
    return folder


def test_a_query_finds_the_sound_whatever_its_endings(make_corpus: Callable, run_stage: Callable) -> None:
    folder = str(build(make_corpus, run_stage, SOUNDS))
    best = search(folder, "dogs barking", 2)[0]
    assert (best.id, best.caption, best.audio) == ("s0", "Dog Bark 4; dog", "dog.wav")
    assert 0.3 < best.score <= 1
    assert search(folder, "raining heavily", 1)[0].id == "s1"
    assert search(folder, "church bell", 1)[0].id == "s2"
    assert search(folder, "man speaking", 1)[0].audio is None


def test_the_folder_says_what_it_is_and_how_good(make_corpus: Callable, run_stage: Callable) -> None:
    folder = build(make_corpus, run_stage, SOUNDS + SPEECH)
    table = pq.read_table(folder / "part-00000-of-00001.parquet")
    check_schema(table.schema, vector_schema(512), "embeddings")
    vectors = np.array(table.column("vector").to_pylist())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert table.column("id").to_pylist() == [row["id"] for row in SOUNDS + SPEECH]
    assert table.column("t1").to_pylist() == [row["duration"] for row in SOUNDS + SPEECH]
    extra = manifest.read(str(folder)).extra
    assert (extra["rows"], extra["dim"], extra["metric"], extra["kind"]) == (6, 512, "cosine", "Flat")
    assert (extra["recall_at_10"], extra["self_retrieval_at_1"], extra["probes"]) == (1.0, 1.0, 6)
    assert extra["embedder"]["name"] == "caption"
    assert len(extra["embedder"]["idf"]) == 64


def test_the_cut_into_shards_does_not_change_the_index(
    make_corpus: Callable, run_stage: Callable, tmp_path: Path
) -> None:
    folders = [
        build(make_corpus, run_stage, SOUNDS + SPEECH, shards=n, name=f"in{n}", out=tmp_path / f"out{n}")
        for n in (1, 3)
    ]
    for file in ("part-00000-of-00001.parquet", "index.faiss", "items.parquet", "idf.npy", "embedder.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


def test_speech_without_captions_is_found_by_what_was_said(make_corpus: Callable, run_stage: Callable) -> None:
    folder = str(build(make_corpus, run_stage, SPEECH))
    assert [hit.id for hit in search(folder, "courtyards", 5)][:1] == ["t0"]


@pytest.mark.parametrize(
    ("which", "row", "text"),
    [
        ("auto", {"captions": ["a"], "labels": ["b_c"], "text": "t"}, "a; b c"),
        ("auto", {"captions": None, "labels": [], "text": "t"}, "t"),
        ("captions", {"captions": ["a"], "labels": None, "text": "t"}, "a"),
        ("transcript", {"captions": ["a"], "labels": None, "text": " t "}, "t"),
    ],
)
def test_an_item_is_described_by_what_was_asked_for(which: Any, row: dict, text: str) -> None:
    assert index.describe(row, which) == text


@pytest.mark.parametrize(
    ("which", "row", "told"),
    [
        ("auto", {"captions": None, "labels": None, "text": None}, "no caption, label or transcript"),
        ("captions", {"captions": [], "labels": [], "text": "t"}, "choose index.text = auto"),
        ("transcript", {"captions": ["a"], "labels": None, "text": ""}, "no transcript"),
    ],
)
def test_an_item_with_nothing_to_be_found_by_is_rejected(which: Any, row: dict, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        index.describe(row, which)
    assert caught.value.code == "no_caption"


def test_items_without_words_are_in_rejects_and_not_in_the_index(make_corpus: Callable, run_stage: Callable) -> None:
    odd = [{"id": "none", "duration": 1.0}, {"id": "dots", "captions": ["... !"], "duration": 1.0}]
    folder = build(make_corpus, run_stage, [odd[0], *SOUNDS, odd[1]], {"text": "captions"})
    rejects = pq.read_table(folder / "rejects" / "part-00000-of-00001.parquet").to_pylist()
    assert [(r["id"], r["code"]) for r in rejects] == [("dots", "no_caption"), ("none", "no_caption")]
    assert pq.read_table(folder / "items.parquet").column("id").to_pylist() == [row["id"] for row in SOUNDS]


def test_speech_that_nobody_transcribed_is_counted_and_not_rejected(make_corpus: Callable, run_stage: Callable) -> None:
    folder = build(make_corpus, run_stage, [{"id": "none", "duration": 1.0}, *SOUNDS])
    assert not (folder / "rejects").exists()
    assert manifest.read(str(folder)).counters["undescribed"] == 1
    assert pq.read_table(folder / "items.parquet").column("id").to_pylist() == [row["id"] for row in SOUNDS]


def test_a_corpus_without_any_text_gives_an_empty_index_that_finds_nothing(
    make_corpus: Callable, run_stage: Callable
) -> None:
    folder = build(make_corpus, run_stage, [{"id": "x", "duration": 1.0}])
    assert index.search(str(folder), "a dog") == []


def test_a_corpus_without_the_captions_that_were_asked_for_is_one_clear_error(
    make_corpus: Callable, run_stage: Callable
) -> None:
    with pytest.raises(ConfigError, match="no item has a text"):
        build(make_corpus, run_stage, [{"id": "x", "duration": 1.0}], {"text": "captions"})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"embedder": "clapp"}, "unknown embedder 'clapp'"),
        ({"options": {"dimension": 3}}, "dimension"),
        ({"factory": "Nonsense"}, "Nonsense"),
    ],
)
def test_options_that_cannot_be_are_named(make_corpus: Callable, run_stage: Callable, options: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build(make_corpus, run_stage, SOUNDS, options)


def test_a_query_without_a_word_or_without_likeness(make_corpus: Callable, run_stage: Callable) -> None:
    folder = str(build(make_corpus, run_stage, SOUNDS))
    with pytest.raises(ConfigError, match="no word"):
        search(folder, " ?! ")
    assert all(hit.score > 0 for hit in search(folder, "zzzz qqqq", 10))


def test_a_folder_that_is_no_index_or_has_been_changed_is_refused(
    make_corpus: Callable, run_stage: Callable, tmp_path: Path
) -> None:
    with pytest.raises(StaleArtifact, match=r"embedder\.json is missing"):
        search(str(tmp_path), "dog")
    folder = build(make_corpus, run_stage, SOUNDS)
    np.save(folder / "idf.npy", np.ones(512, np.float32))
    with pytest.raises(StaleArtifact, match="another embedder"):
        search(str(folder), "dog")


def test_real_sound_titles_find_themselves(shared_data: Path, make_corpus: Callable, run_stage: Callable) -> None:
    lines = (shared_data / "esc50" / "manifest.jsonl").read_text().splitlines()
    rows = [
        {
            "id": r["id"],
            "audio": r["audio"],
            "captions": [r["title"]],
            "labels": r["labels"],
            "duration": r["duration_s"],
        }
        for r in map(json.loads, lines)
    ]
    folder = build(make_corpus, run_stage, rows)
    extra = manifest.read(str(folder)).extra
    assert (extra["rows"], extra["recall_at_10"], extra["self_retrieval_at_1"]) == (200, 1.0, 1.0)
    label = {row["id"]: row["labels"][0] for row in rows}
    assert [label[hit.id] for hit in search(str(folder), "dogs barking", 4)] == ["dog"] * 4
