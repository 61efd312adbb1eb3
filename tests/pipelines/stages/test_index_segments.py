"""index: utterances that are segments of one audio file have windows, vectors and digests of their own part of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from helpers import toy_embedder as toy

from speechprep import registry
from speechprep.artifacts import manifest
from speechprep.artifacts.shards import sha256_file
from speechprep.pipelines.stages.index import stage

SEGMENTS = [("a", 0.0, 1.5), ("b", 1.5, 2.25), ("c", 4.0, 0.5), ("d", 0.0, 4.5)]  # id, offset, duration


@pytest.fixture
def recording(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A file of 4.5 seconds whose level changes all the time, so that each part of it has another vector."""
    n = round(4.5 * toy.RATE)
    rng = np.random.default_rng(0)
    sound = np.round(rng.standard_normal(n) * (0.05 + 0.1 * np.abs(np.sin(np.arange(n) / 777))) * 32768).clip(
        -32768, 32767
    )
    path = tmp_path / "recording.wav"
    soundfile.write(path, sound.astype(np.int16), toy.RATE, subtype="PCM_16")
    return path, (sound / 32768).astype(np.float32)


@pytest.fixture
def build(
    make_corpus: Callable, run_stage: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recording: Any
) -> Callable[..., Path]:
    monkeypatch.setitem(registry.FAMILIES["embedders"], "toy", "helpers.toy_embedder:ToyEmbedder")

    def run(name: str, segments: list = SEGMENTS, shards: int = 2, **options: Any) -> Path:
        sha256 = sha256_file(recording[0])
        rows = [
            {"id": id, "audio": str(recording[0]), "offset": offset, "duration": duration, "audio_sha256": sha256}
            for id, offset, duration in segments
        ]
        corpus = make_corpus(rows, shards, name=f"in-{name}")
        inputs = {"utterances": corpus}
        folder: Path = run_stage(stage.STAGE, {"embedder": "toy", **options}, inputs, out=tmp_path / name)
        return folder

    return run


def oracle(sound: np.ndarray, segments: list) -> list[tuple[str, float, float, list[float]]]:
    """id, start and end of each window within its segment, and its vector, sample by sample."""
    rows = []
    for id, offset, duration in segments:
        first, stop = round(offset * toy.RATE), round((offset + duration) * toy.RATE)
        for start in range(first, stop, toy.WINDOW):
            window = sound[start : min(start + toy.WINDOW, stop)].tolist()
            size, more = divmod(len(window), 10)
            energies, at = [], 0
            for part in range(10):
                length = size + (part < more)
                energies.append(sum(x * x for x in window[at : at + length]))
                at += length
            length = sum(e * e for e in energies) ** 0.5
            end = (start + len(window) - first) / toy.RATE
            rows.append((id, (start - first) / toy.RATE, end, [e / length for e in energies]))
    return rows


def check(folder: Path, expected: list[tuple[str, float, float, list[float]]]) -> None:
    rows = pq.read_table(folder / "part-00000-of-00001.parquet").to_pylist()
    assert [(r["id"], r["t0"], r["t1"]) for r in rows] == [row[:3] for row in expected]
    np.testing.assert_allclose([r["vector"] for r in rows], [row[3] for row in expected], atol=1e-5)
    items = pq.read_table(folder / "items.parquet").to_pylist()
    assert [(r["id"], r["t0"], r["t1"]) for r in items] == [row[:3] for row in expected]


def test_each_segment_has_the_windows_and_vectors_of_its_part_of_the_file(build: Callable, recording: Any) -> None:
    expected = oracle(recording[1], SEGMENTS)
    assert [row[:3] for row in expected[:5]] == [
        ("a", 0.0, 1.0), ("a", 1.0, 1.5), ("b", 0.0, 1.0), ("b", 1.0, 2.0), ("b", 2.0, 2.25),
    ]  # fmt: skip
    folder = build("index")
    check(folder, expected)
    assert manifest.read(str(folder)).extra["rows"] == len(expected) == 11


def test_segments_have_digests_of_their_own_and_equal_segments_the_same(build: Callable) -> None:
    items = pq.read_table(build("index", [*SEGMENTS, ("again", 1.5, 2.25)]) / "items.parquet").to_pylist()
    digests: dict[str, set[str]] = {}
    for item in items:
        digests.setdefault(item["id"], set()).add(item["sound"])
    assert all(len(of_one) == 1 for of_one in digests.values())
    assert digests["b"] == digests["again"]
    assert len(set.union(*digests.values())) == len(SEGMENTS)


def test_an_earlier_index_serves_a_segment_only_with_the_same_part_of_the_file(build: Callable, recording: Any) -> None:
    first = build("first", [("a", 0.0, 1.5), ("b", 1.5, 2.25)])
    later = [("x", 1.5, 2.25), ("y", 1.5, 1.5), ("a", 0.0, 1.5), ("z", 0.0, 2.25)]
    grown = build("grown", later, previous=str(first))
    assert manifest.read(str(grown)).counters["reused"] == 2  # x is the part of b, a is itself
    check(grown, oracle(recording[1], later))


def test_one_row_for_a_segment_is_the_mean_of_its_windows(build: Callable, recording: Any) -> None:
    rows = pq.read_table(build("mean", rows="utterance") / "part-00000-of-00001.parquet").to_pylist()
    assert [(r["id"], r["t0"], r["t1"]) for r in rows] == [(id, 0.0, duration) for id, _, duration in SEGMENTS]
    for row in rows:
        windows = np.array([vector for id, _, _, vector in oracle(recording[1], SEGMENTS) if id == row["id"]])
        mean = windows.sum(axis=0)
        np.testing.assert_allclose(row["vector"], mean / (mean @ mean) ** 0.5, atol=1e-5)


def test_search_by_a_segment_finds_the_segment(build: Callable, recording: Any, tmp_path: Path) -> None:
    folder = build("index")
    for id, offset, duration in SEGMENTS[:3]:
        query = tmp_path / f"{id}.wav"
        part = recording[1][round(offset * toy.RATE) : round((offset + duration) * toy.RATE)]
        soundfile.write(query, part, toy.RATE, subtype="PCM_16")
        assert stage.search(str(folder), audio=str(query), k=1)[0].score == pytest.approx(1, abs=1e-4)
        best = [hit.id for hit in stage.search(str(folder), audio=str(query), k=20) if hit.score > 1 - 1e-6]
        assert id in best
