"""index and search: every indexed item is its own nearest neighbour, and an unusable query is an error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from speechprep.artifacts import manifest
from speechprep.artifacts.schemas import check_schema, vector_schema
from speechprep.errors import BadInput, ConfigError, StaleArtifact
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages.index import stage
from speechprep.pipelines.stages.index.stage import search

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
    folder: Path = run_stage(stage.STAGE, options or {}, {"utterances": corpus}, **more)
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
    assert stage.describe(row, which) == text


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
        stage.describe(row, which)
    assert caught.value.code == "no_caption"


def test_items_without_words_are_in_rejects_and_not_in_the_index(make_corpus: Callable, run_stage: Callable) -> None:
    odd = [{"id": "none", "duration": 1.0}, {"id": "dots", "captions": ["... !"], "duration": 1.0}]
    folder = build(make_corpus, run_stage, [odd[0], *SOUNDS, odd[1]], {"text": "captions"})
    rejects = pq.read_table(folder / "_rejects" / "part-00000-of-00001.parquet").to_pylist()
    assert [(r["id"], r["code"]) for r in rejects] == [("dots", "no_caption"), ("none", "no_caption")]
    assert pq.read_table(folder / "items.parquet").column("id").to_pylist() == [row["id"] for row in SOUNDS]


def test_speech_that_nobody_transcribed_is_counted_and_not_rejected(make_corpus: Callable, run_stage: Callable) -> None:
    folder = build(make_corpus, run_stage, [{"id": "none", "duration": 1.0}, *SOUNDS])
    assert not (folder / "_rejects").exists()
    assert manifest.read(str(folder)).counters["undescribed"] == 1
    assert pq.read_table(folder / "items.parquet").column("id").to_pylist() == [row["id"] for row in SOUNDS]


def test_a_corpus_without_any_text_gives_an_empty_index_that_finds_nothing(
    make_corpus: Callable, run_stage: Callable
) -> None:
    folder = build(make_corpus, run_stage, [{"id": "x", "duration": 1.0}])
    assert stage.search(str(folder), "a dog") == []


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


def test_an_index_of_captions_cannot_be_asked_with_a_sound(make_corpus: Callable, run_stage: Callable) -> None:
    folder = str(build(make_corpus, run_stage, SOUNDS))
    with pytest.raises(ConfigError, match="'caption', an embedder of texts only"):
        search(folder, audio="bark.wav")
    with pytest.raises(ConfigError, match="either words or an audio file"):
        search(folder, "dog", audio="bark.wav")
    with pytest.raises(ConfigError, match="either words or an audio file"):
        search(folder)


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


# -- an embedder that hears --------------------------------------------------------------------------------------------

hearing = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]
FILES = ("part-00000-of-00001.parquet", "index.faiss", "items.parquet", "embedder.json")


def ringing(seconds: float, seed: int) -> np.ndarray:
    """Four tones and noise at 16 kHz."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16_000)) / 16_000
    tones = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(80, 6000, 4))
    return (0.1 * tones + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


class Made(NamedTuple):
    """Builds an index with the tiny CLAP model; the rows it is of."""

    index: Callable[..., Path]
    rows: list[dict[str, Any]]


@pytest.fixture
def heard(make_corpus: Callable, run_stage: Callable, tiny_clap: Path, tmp_path: Path) -> Made:
    lengths = [3.0, 25.0, 0.3, 10.0, 4.0, 15.0]
    rows: list[dict[str, Any]] = [
        {
            "id": f"s{i}",
            "sound": ringing(n, i),
            "audio_sha256": f"content {i}",
            "captions": [f"sound {i}"] if i % 2 else None,
        }
        for i, n in enumerate(lengths)
    ]

    def index_of(given: list | None = None, out: str = "index", shards: int = 2, **options: Any) -> Path:
        chosen = {"embedder": "clap", "options": {"model": str(tiny_clap), "device": "cpu"}, **options}
        return build(make_corpus, run_stage, given or rows, chosen, shards=shards, name=f"in-{out}", out=tmp_path / out)

    return Made(index_of, rows)


class TestHeard:
    """Marked as a whole: all of it needs torch and transformers."""

    pytestmark = hearing

    def test_each_window_of_a_sound_has_its_row_captioned_or_not(self, heard: Made) -> None:
        folder = heard.index()
        table = pq.read_table(folder / FILES[0])
        check_schema(table.schema, vector_schema(24), "embeddings")
        found = [(r["id"], r["t0"], r["t1"], r["caption"]) for r in table.to_pylist()]
        assert found == [
            ("s0", 0, 3, None),
            ("s1", 0, 10, "sound 1"),
            ("s1", 10, 20, "sound 1"),
            ("s1", 15, 25, "sound 1"),
            ("s2", 0, 0.3, None),
            ("s3", 0, 10, "sound 3"),
            ("s4", 0, 4, None),
            ("s5", 0, 10, "sound 5"),
            ("s5", 5, 15, "sound 5"),
        ]
        np.testing.assert_allclose(np.linalg.norm(table.column("vector").to_pylist(), axis=1), 1, atol=1e-6)
        extra = manifest.read(str(folder)).extra
        assert (extra["rows"], extra["dim"], extra["kind"], extra["probes"]) == (9, 24, "Flat", 9)
        assert (extra["recall_at_10"], extra["self_retrieval_at_1"]) == (1.0, 1.0)
        assert 0 <= extra["caption_finds_own_at_1"] <= extra["caption_finds_own_at_10"] == 1.0
        assert extra["embedder"]["window"] == 10.0
        assert manifest.read(str(folder)).seconds == pytest.approx(57.3)
        assert not verify(str(folder)).problems

    def test_two_builds_however_cut_are_equal_to_the_bit(self, heard: Made) -> None:
        one, two = heard.index(out="one", shards=1), heard.index(out="two", shards=3)
        for file in FILES:
            assert (one / file).read_bytes() == (two / file).read_bytes()

    @pytest.mark.parametrize("rows", ["window", "utterance"])
    def test_every_sound_asked_for_comes_first_itself(self, heard: Made, rows: str) -> None:
        folder = str(heard.index(rows=rows))
        for row in heard.rows:
            found = search(folder, audio=str(Path(folder).parent / "audio" / f"{row['id']}.wav"), k=3)
            assert found[0].id == row["id"]
            assert found[0].score == pytest.approx(1, abs=1e-5)
            assert found == sorted(found, key=lambda hit: -hit.score)
        assert len(search(folder, "any words at all", k=4)) == 4

    def test_one_row_for_an_utterance_is_the_mean_of_its_windows(self, heard: Made) -> None:
        windows, means = (
            pq.read_table(heard.index(out=rows, rows=rows) / FILES[0]).to_pylist() for rows in ("window", "utterance")
        )
        assert [(r["id"], r["t0"]) for r in means] == [(row["id"], 0.0) for row in heard.rows]
        assert [r["t1"] for r in means] == pytest.approx([3, 25, 0.3, 10, 4, 15])
        of_s1 = np.mean([r["vector"] for r in windows if r["id"] == "s1"], axis=0)
        np.testing.assert_allclose(means[1]["vector"], of_s1 / np.linalg.norm(of_s1), atol=1e-6)

    def test_a_grown_corpus_is_appended_and_nothing_known_is_embedded_again(
        self, heard: Made, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from speechprep.pipelines.backends.embedders.clap import ClapEmbedder

        first = heard.index(heard.rows[1:4], out="first")
        asked = []
        embed = ClapEmbedder.embed_audio
        monkeypatch.setattr(ClapEmbedder, "embed_audio", lambda self, b: asked.extend(b) or embed(self, b))
        grown = heard.index(out="grown", previous=str(first))
        assert len(asked) == 3
        assert manifest.read(str(grown)).counters["reused"] == 3
        fresh = heard.index(out="fresh")
        for file in FILES:
            assert (grown / file).read_bytes() == (fresh / file).read_bytes()

    def test_a_sound_that_changed_under_its_id_is_embedded_again(self, heard: Made) -> None:
        first = heard.index(heard.rows[:1], out="first")
        changed = [{**heard.rows[0], "sound": ringing(3.0, 99), "audio_sha256": "other content"}]
        second = heard.index(changed, out="second", previous=str(first))
        assert manifest.read(str(second)).counters["reused"] == 0
        one, two = (pq.read_table(f / FILES[0]).column("vector").to_pylist() for f in (first, second))
        assert one != two

    def test_an_earlier_index_made_otherwise_is_refused(self, heard: Made, tmp_path: Path) -> None:
        first = heard.index(out="first", rows="utterance")
        with pytest.raises(StaleArtifact, match=r"has other options \(rows"):
            heard.index(out="second", previous=str(first))
        with pytest.raises(StaleArtifact, match="not a readable index"):
            heard.index(out="third", previous=str(tmp_path))

    def test_audio_that_cannot_be_read_is_rejected_and_the_rest_indexed(self, heard: Made, tmp_path: Path) -> None:
        (tmp_path / "bad.wav").write_text("not a sound")
        odd = {"id": "bad", "audio": str(tmp_path / "bad.wav"), "duration": 1.0}
        folder = heard.index([heard.rows[0], odd, heard.rows[2]])
        rejects = pq.read_table(folder / "_rejects" / "part-00000-of-00001.parquet").to_pylist()
        assert [(r["id"], r["code"]) for r in rejects] == [("bad", "audio_unreadable")]
        assert pq.read_table(folder / "items.parquet").column("id").to_pylist() == ["s0", "s2"]

    def test_the_index_is_searched_with_its_own_model_or_not_at_all(self, heard: Made, tmp_path: Path) -> None:
        folder = heard.index()
        made_by = json.loads((folder / "embedder.json").read_text())
        made_by["identity"]["weights"] = "0" * 64
        (folder / "embedder.json").write_text(json.dumps(made_by))
        with pytest.raises(StaleArtifact, match="another embedder"):
            search(str(folder), "dog")

    def test_the_command_line_takes_a_sound(self, heard: Made, capsys: pytest.CaptureFixture[str]) -> None:
        from speechprep.cli import main

        folder = heard.index()
        with contextlib.suppress(SystemExit):
            main(["search", str(folder), "--audio", str(folder.parent / "audio" / "s3.wav"), "-k", "1", "--json"])
        (hit,) = json.loads(capsys.readouterr().out)
        assert (hit["id"], hit["t0"], hit["t1"], hit["score"]) == ("s3", 0.0, 10.0, pytest.approx(1, abs=1e-5))


def test_a_low_recall_is_a_warning() -> None:
    assert "finds 50% of the 10 nearest" in stage.STAGE.warning({"recall_at_10": 0.5})
    assert stage.STAGE.warning({"recall_at_10": 0.95}) == ""
    assert stage.STAGE.warning({"probes": 0}) == ""
