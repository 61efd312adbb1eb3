"""dedup: copies of audio and text are found, other recordings are not, for any shards and any order of the corpus."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr
from helpers import rowmaking as made
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.artifacts.media.audio import probe
from speechprep.artifacts.schemas import UTTERANCES, WORDS
from speechprep.pipelines.engine.recipe import single
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages.dedup.fingerprint import STAGE as FINGERPRINT
from speechprep.pipelines.stages.dedup.stage import STAGE as DEDUP

RATE = 16_000


def sound(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Speech-like sound: syllables of a harmonic voice with moving formants, and pauses."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    time = np.arange(n) / RATE
    knots = np.arange(0, seconds + 0.2, 0.15)

    def curve(low: float, high: float) -> np.ndarray:
        return np.interp(time, knots, rng.uniform(low, high, len(knots)))

    phase = 2 * np.pi * np.cumsum(curve(90, 220)) / RATE
    audio = sum(
        np.sin(k * phase) * np.exp(-(((k * 150 - curve(300, 900)) / 300) ** 2) / 2)
        + 0.5 * np.sin(k * phase) * np.exp(-(((k * 150 - curve(1000, 3000)) / 400) ** 2) / 2)
        for k in range(1, 22)
    )
    audio = audio * np.clip(curve(-0.3, 1.0), 0, 1) + rng.normal(0, 1e-3, n)
    return (0.3 * audio / np.abs(audio).max()).astype(np.float32)


def coded(audio: np.ndarray, rate: int, form: str, subtype: str) -> tuple[np.ndarray, int]:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=form, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")


COPIES: dict[str, Callable[[np.ndarray], tuple[np.ndarray, int]]] = {
    "gain": lambda audio: (audio * 0.13, RATE),
    "inverted": lambda audio: (-audio, RATE),
    "8 kHz": lambda audio: (soxr.resample(audio, RATE, 8_000), 8_000),
    "44.1 kHz": lambda audio: (soxr.resample(audio, RATE, 44_100), 44_100),
    "mp3": lambda audio: coded(audio, RATE, "MP3", "MPEG_LAYER_III"),
    "opus": lambda audio: coded(audio, RATE, "OGG", "OPUS"),
    "trimmed": lambda audio: (audio[int(0.137 * RATE) : -int(0.2 * RATE)], RATE),
    "padded": lambda audio: (np.concatenate([np.zeros(3333, np.float32), audio, np.zeros(2000, np.float32)]), RATE),
    "noise": lambda audio: (audio + np.random.default_rng(5).normal(0, 0.003, len(audio)).astype(np.float32), RATE),
}


def store(path: Path, audio: np.ndarray, rate: int = RATE, **form: Any) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, **form)
    return utterance(path.stem, audio=path)


def utterance(id: str, text: str | None = None, audio: Path | None = None) -> dict[str, Any]:
    row = {**dict.fromkeys(UTTERANCES.names), "id": id, "text": text}
    if audio is not None:
        info = probe(audio)
        row |= {"audio": str(audio), "offset": 0.0, "duration": info.duration, "sample_rate": info.sample_rate}
    return row


@pytest.fixture
def dedup(run_stage: Callable, tmp_path: Path) -> Callable[..., Path]:
    numbers = iter(range(1000))

    def run(parts: list[list[dict[str, Any]]], words: list | None = None, shingle: int = 3, **options: Any) -> Path:
        folder = tmp_path / f"run-{next(numbers)}"
        utterances = made.write_dataset(folder / "utterances", "utterances", UTTERANCES, parts)
        prints = run_stage(FINGERPRINT, {"shingle": shingle}, {"utterances": utterances}, out=folder / "fingerprints")
        inputs = {"fingerprints": prints}
        if words is not None:
            inputs["words"] = made.write_dataset(folder / "words", "words", WORDS, words)
        return run_stage(DEDUP, options, inputs, out=folder / "duplicates")

    return run


def marks(folder: Path, kind: str) -> dict[str, str]:
    rows = [row for file in sorted(folder.glob("part-*")) for row in pq.read_table(file).to_pylist()]
    return {row["id"]: row[f"{kind}_duplicate_of"] for row in rows if row[f"{kind}_duplicate_of"] is not None}


def test_each_kind_of_copy_is_found_and_other_sounds_are_not(dedup: Callable, tmp_path: Path) -> None:
    rows, expected = [], {}
    for i, (name, change) in enumerate(COPIES.items()):
        rows.append(store(tmp_path / f"a{i}.wav", sound(i)))
        rows.append(store(tmp_path / f"b{i} {name}.wav", *change(sound(i)), subtype="FLOAT"))
        expected[f"b{i} {name}"] = f"a{i}"
    rows += [store(tmp_path / f"c{i}.wav", sound(100 + i)) for i in range(10)]
    assert marks(dedup([rows]), "audio") == expected


def test_equal_samples_are_exact_duplicates_whatever_the_container(dedup: Callable, tmp_path: Path) -> None:
    audio = np.round(sound(1) * 32767).astype(np.int16)
    wide = audio.astype(np.int32) << 16
    rows = [
        store(tmp_path / "b.wav", audio),
        store(tmp_path / "a.flac", audio),
        store(tmp_path / "c.wav", wide, subtype="PCM_24"),
        store(tmp_path / "d.wav", audio[:-1]),
    ]
    folder = dedup([rows], max_bit_errors=0.0)
    assert marks(folder, "audio") == {"b": "a", "c": "a", "d": "a"}
    similarity = {
        row["id"]: row["audio_similarity"] for row in pq.read_table(folder / "part-00000-of-00001.parquet").to_pylist()
    }
    assert similarity["a"] == similarity["b"] == similarity["c"] == 1.0


def test_an_utterance_inside_a_recording_is_compared_by_its_own_part(dedup: Callable, tmp_path: Path) -> None:
    store(tmp_path / "long.wav", np.concatenate([sound(1), sound(2), sound(1)]))
    rows = [{**utterance(f"u{i}", audio=tmp_path / "long.wav"), "offset": 3.0 * i, "duration": 3.0} for i in range(3)]
    assert marks(dedup([rows]), "audio") == {"u2": "u0"}


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.3])
def test_silence_and_very_short_sounds_are_no_near_duplicates(dedup: Callable, tmp_path: Path, seconds: float) -> None:
    n = int(seconds * RATE) or RATE
    rows = [
        store(tmp_path / f"s{i}.wav", sound(i, 1.0)[: n + i] if seconds else np.zeros(n + i, np.float32))
        for i in range(4)
    ]
    assert marks(dedup([rows]), "audio") == {}


NUMBERED = [f"w{i}" for i in range(40)]
TEXTS = (  # text, texts that repeat it, texts that do not
    ("The quick brown fox jumps.", ["the quick brown fox jumps", "THE  QUICK, BROWN FOX\njumps!"], ["the quick fox"]),
    ("Don't stop", ["dont stop", "don\u2019t stop..."], ["do not stop"]),
    ("Zu\u0308rich", ["Z\u00fcrich", "Z\u00dcRICH"], ["Zurich"]),
    ("\u4eca\u5929\u5929\u6c14", ["\u4eca\u5929\u5929\u6c14\u3002"], ["\u4eca\u5929\u597d\u6c14"]),
    ("\u0915\u093f", ["\u0915\u093f!"], ["\u0915\u0940"]),
    (" ".join(NUMBERED), [" ".join([*NUMBERED, "w40"]), " ".join(NUMBERED[1:])], [" ".join(NUMBERED[::-1])]),
)


@pytest.mark.parametrize("case", range(len(TEXTS)))
def test_texts_repeat_by_their_words(dedup: Callable, case: int) -> None:
    text, copies, others = TEXTS[case]
    rows = [utterance("a", text)]
    rows += [utterance(f"copy{i}", copy) for i, copy in enumerate(copies)]
    rows += [utterance(f"other{i}", other) for i, other in enumerate(others)]
    assert marks(dedup([rows]), "text") == {f"copy{i}": "a" for i in range(len(copies))}


def test_rows_without_words_are_no_duplicates(dedup: Callable) -> None:
    folder = dedup([[utterance(f"u{i}", text) for i, text in enumerate([None, None, "", "", "...", "!"])]])
    assert marks(folder, "text") == {}
    problems = [
        problem.folder
        for name in ("fingerprints", "duplicates")
        for problem in verify(str(folder.parent / name)).problems
    ]
    assert problems == []


def test_the_rows_do_not_depend_on_shards_and_order(dedup: Callable) -> None:
    @settings(max_examples=6, database=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(" ".join)
        texts = data.draw(st.lists(words, min_size=1, max_size=12))
        rows = [utterance(f"u{i}", text) for i, text in enumerate(texts)]
        order = data.draw(st.permutations(rows))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=2)))
        parts = [list(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
        found = marks(dedup(parts, min_jaccard=1.0, shingle=20), "text")
        for row in rows:  # the smallest id of the texts with the same words
            same = min(other["id"] for other in rows if other["text"] == row["text"]) if row["text"] else row["id"]
            assert found.get(row["id"], row["id"]) == same

    check()


def test_audio_marks_have_the_same_bytes_in_any_order(dedup: Callable, tmp_path: Path) -> None:
    rows = [store(tmp_path / f"a{i}.wav", sound(i)) for i in range(4)]
    rows += [store(tmp_path / f"b{i}.wav", 0.5 * sound(i)) for i in range(4)]
    rows += [store(tmp_path / f"c{i}.wav", sound(i)[1000:]) for i in range(3)]
    parts = [[rows[i] for i in part] for part in ((10, 3, 5), (), (0, 9, 1), (2, 8, 7, 4, 6))]
    tables = []
    for folder in (dedup([rows]), dedup(parts)):
        tables.append(
            sorted((r for f in folder.glob("part-*") for r in pq.read_table(f).to_pylist()), key=lambda r: r["id"])
        )
    assert tables[0] == tables[1]
    assert marks(folder, "audio") == {f"{c}{i}": f"a{i}" for c, n in (("b", 4), ("c", 3)) for i in range(n)}
    again = dedup(parts)
    assert [p.read_bytes() for p in sorted(again.glob("part-*"))] == [
        p.read_bytes() for p in sorted(folder.glob("part-*"))
    ]


def test_only_kept_rows_stand_for_their_group(dedup: Callable) -> None:
    rows = [utterance(id, "the same words") for id in ("a", "b", "c")]
    words = [[{**dict.fromkeys(WORDS.names), "id": row["id"], "kept": row["id"] != "a"} for row in rows]]
    assert marks(dedup([rows], words=words, only_kept=True), "text") == {"c": "b"}
    assert marks(dedup([rows]), "text") == {"b": "a", "c": "a"}


def test_an_id_in_two_rows_is_an_error(dedup: Callable) -> None:
    with pytest.raises(Exception, match="'a' is in more than one row"):
        dedup([[utterance("a", "x")], [utterance("a", "y")]])


def test_fingerprints_are_computed_on_the_way(dedup: Callable, tmp_path: Path) -> None:
    made.write_dataset(tmp_path / "run" / "utterances", "utterances", UTTERANCES, [[utterance("a", "x")]])
    steps = single(
        DEDUP, {"shingle": 2, "min_jaccard": 0.7}, 0, [str(tmp_path / "run")], str(tmp_path / "run" / "duplicates")
    )
    assert [step.name for step in steps] == ["fingerprint", "dedup"]
    assert steps[0].config.model_dump() == {"audio": True, "shingle": 2}


@pytest.mark.slow
def test_copies_of_real_speech_are_found_and_the_same_sentences_of_others_are_not(
    dedup: Callable, tmp_path: Path, shared_data: Path
) -> None:
    rows, expected = [], {}
    for name, most in (("timit-sample", 40), ("fsdd-digits", 40), ("ravdess-emotion", 20)):
        lines = (shared_data / name / "manifest.jsonl").read_text().splitlines()
        for i, line in enumerate(lines[:most]):
            audio, rate = soundfile.read(shared_data / name / json.loads(line)["audio"], dtype="float32")
            rows.append(store(tmp_path / f"a-{name}-{i}.wav", audio, rate))
            if i % 4 == 0:
                rows.append(store(tmp_path / f"b-{name}-{i}.wav", *coded(0.7 * audio, rate, "MP3", "MPEG_LAYER_III")))
                expected[f"b-{name}-{i}"] = f"a-{name}-{i}"
    found = marks(dedup([rows]), "audio")
    assert found == expected
