"""clips: ranges of N words between timed words, splits by recording, and two pairings of the same texts and audio."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import rowmaking as made

from speechprep.artifacts import manifest
from speechprep.artifacts.clips import pairs
from speechprep.artifacts.schemas import UTTERANCES, WORDS
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages.clips.stage import STAGE

N = (5, 9)
OPTIONS = {"words": list(N)}


def corpus(n: int = 24, seed: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of utterances and of words: three speakers, recordings of two utterances, some words without own times."""
    rng = np.random.default_rng(seed)
    utterances, words = [], []
    for i in range(n):
        count = int(rng.integers(0, 40))
        ends = np.cumsum(rng.uniform(0.2, 0.4, count))
        timing = np.where(rng.random(count) < 0.12, "interpolated", "aligned")
        spoken = [
            {"text": f"w{int(w)}", "start": float(e) - 0.15, "end": float(e), "score": -1.0, "timing": str(t)}
            for w, e, t in zip(rng.integers(0, 50, count), ends, timing, strict=True)
        ]
        recording = f"rec{i // 2}"
        utterances.append(
            {
                **dict.fromkeys(UTTERANCES.names),
                "id": f"utt{i:03d}",
                "audio": f"/audio/{recording}.flac",
                "offset": 100.0 * (i % 2),
                "duration": float(ends[-1]) + 0.5 if count else 1.0,
                "speaker": ("anna", "ben", None)[i % 3],
                "corpus": "toy",
                "split": "dev" if i // 2 == 1 else None,
                "audio_sha256": f"{i // 2:064x}",
            }
        )
        row = {"id": f"utt{i:03d}", "text": " ".join(w["text"] for w in spoken), "words": spoken}
        known = {**row, "duration": utterances[-1]["duration"], "language": "en", "kept": i % 11 != 10}
        words.append({**dict.fromkeys(WORDS.names), **known})
    return utterances, words


def write(folder: Path, utterances: list[dict[str, Any]], words: list[dict[str, Any]], shards: int) -> dict[str, Path]:
    per = -(-len(utterances) // shards)
    parts = [slice(i * per, (i + 1) * per) for i in range(shards)]
    return {
        "utterances": made.write_dataset(
            folder / "utterances", "utterances", UTTERANCES, [utterances[part] for part in parts]
        ),
        "words": made.write_dataset(folder / "words", "words", WORDS, [words[part] for part in parts]),
    }


@pytest.fixture
def build(run_stage: Callable, tmp_path: Path) -> Callable[..., Path]:
    def run(name: str = "run", shards: int = 3, rows: Any = None, seed: int = 0, **options: Any) -> Path:
        inputs = write(tmp_path / name, *(rows or corpus()), shards)
        return run_stage(STAGE, {**OPTIONS, **options}, inputs, out=tmp_path / name / "clips", seed=seed)

    return run


def read(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("part-*")) for row in pq.read_table(file).to_pylist()]


def test_a_clip_has_its_words_its_times_and_the_place_of_its_audio(build: Callable) -> None:
    clips = read(build())
    utterances, words = ({row["id"]: row for row in rows} for rows in corpus())
    assert {clip["n_words"] for clip in clips} == set(N)
    assert not {clip["utterance"] for clip in clips} & {id for id, row in words.items() if not row["kept"]}
    for clip in clips:
        inside = words[clip["utterance"]]["words"][clip["first_word"] : clip["last_word"] + 1]
        source = utterances[clip["utterance"]]
        assert len(inside) == clip["n_words"]
        assert clip["text"].split() == [word["text"] for word in inside]
        assert (clip["t0"], clip["t1"]) == (inside[0]["start"], inside[-1]["end"])
        assert "interpolated" not in (inside[0]["timing"], inside[-1]["timing"])
        assert clip["offset"] == pytest.approx(source["offset"] + clip["t0"])
        assert clip["duration"] == pytest.approx(clip["t1"] - clip["t0"])
        assert [clip[c] for c in ("audio", "speaker", "corpus")] == [source[c] for c in ("audio", "speaker", "corpus")]
        assert clip["recording"] == source["audio_sha256"]
    for n in N:  # no word is twice in clips of one N
        places = [
            (c["utterance"], w) for c in clips if c["n_words"] == n for w in range(c["first_word"], c["last_word"] + 1)
        ]
        assert len(places) == len(set(places))


def test_no_recording_is_in_two_splits_and_the_split_of_the_corpus_stays(build: Callable) -> None:
    clips = read(build(rows=corpus(120)))
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip["recording"], set()).add(clip["split"])
    assert all(len(of_one) == 1 for of_one in splits.values())
    assert splits[f"{1:064x}"] == {"dev"}
    assert {split for of_one in splits.values() for split in of_one} == {"dev", "train", "validation", "test"}
    again = {clip["recording"]: clip["split"] for clip in read(build("less", rows=corpus(60)))}
    assert all(splits[recording] == {split} for recording, split in again.items())  # more speech moves no recording


def test_a_recording_in_two_splits_of_the_corpus_is_rejected_by_name(build: Callable) -> None:
    utterances, words = corpus()
    utterances[4]["split"], utterances[5]["split"] = "train", "test"
    folder = build(rows=(utterances, words), shards=1)
    assert not {"utt004", "utt005"} & {clip["utterance"] for clip in read(folder)}
    rejects = pq.read_table(folder / "_rejects" / "part-00000-of-00001.parquet").to_pylist()
    assert [(row["id"], row["code"]) for row in rejects] == [(f"utt00{i}", "recording_in_two_splits") for i in (4, 5)]
    assert "'test' and 'train'" in rejects[0]["message"]


def test_both_pairings_have_the_same_texts_and_the_same_audio(build: Callable) -> None:
    folder = build(rows=corpus(120))
    clips = {clip["id"]: clip for clip in read(folder)}
    dataset = str(folder)
    matched, unmatched = list(pairs(dataset)), list(pairs(dataset, "unmatched"))
    assert len(matched) > 100
    assert all(text == audio for text, audio in matched)
    assert [text for text, _ in matched] == [text for text, _ in unmatched]
    assert sorted(audio for _, audio in matched) == sorted(audio for _, audio in unmatched)
    for text, audio in unmatched:
        one, other = clips[text], clips[audio]
        assert one["utterance"] != other["utterance"]
        assert one["text"] != other["text"]
        assert [one[c] for c in ("n_words", "split", "corpus", "speaker")] == [
            other[c] for c in ("n_words", "split", "corpus", "speaker")
        ]
        longer, shorter = sorted([one["duration"], other["duration"]], reverse=True)
        assert longer <= shorter * (1 + one["tolerance"]) + 1e-6
    train = list(pairs(dataset, "unmatched", split="train", n_words=5))
    assert train
    assert all(clips[id]["split"] == "train" and clips[id]["n_words"] == 5 for pair in train for id in pair)


def test_clips_without_a_partner_are_counted_by_their_number_of_words(build: Callable) -> None:
    folder = build()
    clips, stored = read(folder), manifest.read(str(folder))
    assert set(stored.extra["pairing"]) == {str(n) for n in N}
    for n in N:
        rows = [clip for clip in clips if clip["n_words"] == n]
        counts = stored.extra["pairing"][str(n)]
        assert counts["clips"] == len(rows)
        assert counts["unpaired"] == sum(clip["partner"] is None for clip in rows)
        assert counts["paired"] == sum(counts["within"].values()) == len(rows) - counts["unpaired"]
    assert stored.counters["unpaired"] == sum(clip["partner"] is None for clip in clips) > 0
    assert f"{stored.extra['pairing']['5']['unpaired']} without a partner" in STAGE.note(stored.extra)


def test_shards_and_order_change_no_row(build: Callable) -> None:
    utterances, words = corpus()
    reference = sorted(read(build("one", shards=1)), key=lambda clip: clip["id"])
    assert sorted(read(build("four", shards=4)), key=lambda clip: clip["id"]) == reference
    order = np.random.default_rng(5).permutation(len(words))
    shuffled = ([utterances[i] for i in order], [words[i] for i in order])
    assert sorted(read(build("shuffled", rows=shuffled)), key=lambda clip: clip["id"]) == reference


def test_limits_of_the_duration_are_counted(build: Callable) -> None:
    folder = build(max_seconds=2.0, min_seconds=1.2)
    clips = read(folder)
    assert clips
    assert all(1.2 <= clip["duration"] <= 2.0 for clip in clips)
    assert manifest.read(str(folder)).counters["outside_limits"] > 0


def test_a_corpus_without_long_utterances_gives_an_empty_dataset(build: Callable) -> None:
    folder = build(words=[500])
    assert read(folder) == []
    assert manifest.read(str(folder)).extra["pairing"] == {}
    assert len(list(folder.glob("part-*"))) == 3
    assert not verify(str(folder)).problems


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"words": []}, "words"),
        ({"words": [25, 0]}, "25, 0"),
        ({"words": [5, 5]}, "5, 5"),
        ({"tolerances": [0.1, 0.05]}, "0.1, 0.05"),
        ({"splits": {"train": -1}}, "train"),
        ({"splits": {"train": 0.0}}, "train"),
    ],
)
def test_bad_options_are_named_with_their_value(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        STAGE.configure(options)


def test_inputs_of_different_ingests_are_refused(run_stage: Callable, tmp_path: Path) -> None:
    inputs = write(tmp_path / "a", *corpus(), 3)
    others = write(tmp_path / "b", *corpus(), 2)
    with pytest.raises(StaleArtifact, match="3 shards"):
        run_stage(STAGE, OPTIONS, {"words": inputs["words"], "utterances": others["utterances"]}, out=tmp_path / "c")
    renamed = [{**row, "id": row["id"] + "x"} for row in corpus()[0]]
    third = write(tmp_path / "d", renamed, corpus()[1], 3)
    with pytest.raises(StaleArtifact, match="'utt000' of words is not in utterances"):
        run_stage(STAGE, OPTIONS, third, out=tmp_path / "e")


def test_an_unknown_pairing_is_refused(build: Callable) -> None:
    with pytest.raises(ConfigError, match="'random'"):
        list(pairs(build(), "random"))  # type: ignore[arg-type]


DAMAGES = {
    "is no derangement": lambda row, rows: {
        "partner": next(r["id"] for r in rows if r["partner"] not in (None, row["id"]))
    },
    "impossible times": lambda row, rows: {"t1": row["t0"]},
    "other times than the words": lambda row, rows: {"text": row["text"] + " more"},
    "number of words": lambda row, rows: {"last_word": row["last_word"] + 1},
    "is in the splits": lambda row, rows: {"split": "elsewhere"},
}


@pytest.mark.parametrize("problem", DAMAGES)
def test_verify_names_a_changed_row(build: Callable, tmp_path: Path, problem: str) -> None:
    folder = build(rows=corpus(60), shards=1)
    assert not verify(str(folder)).problems
    rows = read(folder)
    at = next(i for i, row in enumerate(rows) if row["partner"] is not None)
    rows[at] = {**rows[at], **DAMAGES[problem](rows[at], rows)}
    stored = json.loads((folder / manifest.NAME).read_text())
    other = made.write_dataset(tmp_path / "other", "clips", STAGE.schema, [rows])
    shutil.copy(other / "part-00000-of-00001.parquet", folder)
    new = json.loads((other / manifest.NAME).read_text())["shards"][0]
    stored["shards"][0] |= {name: new[name] for name in ("sha256", "size")}
    stored["content"] = manifest.digest([new["sha256"]])
    (folder / manifest.NAME).write_text(json.dumps(stored))
    assert [p for p in verify(str(folder)).problems if problem in p.what]
