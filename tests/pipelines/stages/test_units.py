"""units: one unit a frame, whatever the shards, the neighbours, the pieces and the length."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.codebooks import make_codebook

from speechprep.artifacts import manifest
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.media import audio
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import StaleArtifact
from speechprep.pipelines import features
from speechprep.pipelines.backends import Extractor
from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor
from speechprep.pipelines.stages import units
from speechprep.tokenizers.kmeans.nearest import Centroids

RATE = 16_000


def read(folder: Path) -> dict[str, list[int]]:
    rows = [row for path in sorted(folder.glob("part-*")) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row["units"] for row in rows}


def test_every_frame_has_its_unit_and_the_manifest_says_what_they_are(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    codebook = Codebook.load(make_codebook(tmp_path / "codebook"))
    folder = run_stage(units.STAGE, {}, {"utterances": make_corpus(talkers, 2), "codebook": tmp_path / "codebook"})
    table = pq.read_table(folder / "part-00000-of-00002.parquet")
    assert table.schema.field("units").type.value_type == "uint16"
    assert set(table.column("codebook").to_pylist()) == {codebook.fingerprint}
    found = read(folder)
    assert list(found) == [talker["id"] for talker in talkers]
    for talker in talkers:
        assert len(found[talker["id"]]) == MfccExtractor.grid.num_frames(len(talker["sound"]))
    extra = manifest.read(str(folder)).extra
    assert extra == {"grid": MfccExtractor.grid.as_dict(), "k": 24, "codebook": codebook.fingerprint}


def test_shards_order_and_workers_do_not_change_a_unit(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    codebook = make_codebook(tmp_path / "codebook")
    found = []
    for n, order, workers in ((1, 1, 1), (3, -1, 2), (8, 1, 3)):
        corpus = make_corpus(talkers[::order], n, name=f"in{n}")
        inputs = {"utterances": corpus, "codebook": codebook}
        found.append(read(run_stage(units.STAGE, {}, inputs, out=tmp_path / f"out{n}", workers=workers)))
    assert found[0] == found[1] == found[2]


def test_long_audio_read_in_pieces_has_the_units_of_the_whole(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"utterances": make_corpus(talkers), "codebook": make_codebook(tmp_path / "codebook")}
    whole = run_stage(units.STAGE, {}, inputs, out=tmp_path / "whole")
    monkeypatch.setattr(features, "LONG_SECONDS", 1.5)  # some utterances are longer, in between shorter ones
    decode_blocks = audio.decode_blocks

    def small_blocks(*given: Any) -> Iterator[np.ndarray]:
        for block in decode_blocks(*given):
            yield from np.array_split(block, 17)

    monkeypatch.setattr(audio, "decode_blocks", small_blocks)
    pieces = run_stage(units.STAGE, {}, inputs, out=tmp_path / "pieces")
    name = "part-00000-of-00001.parquet"
    assert (whole / name).read_bytes() == (pieces / name).read_bytes()


def test_bad_audio_is_rejected_with_its_reason_and_the_rest_is_there(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "LONG_SECONDS", 1.5)
    bad = [
        {"id": "short", "sound": np.zeros(399, np.float32)},
        {"id": "gone", "audio": "/nowhere.wav", "duration": 1.0},
        {"id": "gone-long", "audio": "/nowhere.wav", "duration": 100.0},
    ]
    corpus = make_corpus([bad[0], *talkers[:3], bad[1], bad[2], *talkers[3:]])
    folder = run_stage(units.STAGE, {}, {"utterances": corpus, "codebook": make_codebook(tmp_path / "codebook")})
    rejects = pq.read_table(folder / "_rejects" / "part-00000-of-00001.parquet").to_pylist()
    assert [(r["id"], r["code"]) for r in rejects] == [
        ("gone", "audio_missing"),
        ("gone-long", "audio_missing"),
        ("short", "audio_too_short"),
    ]
    assert list(read(folder)) == [talker["id"] for talker in talkers]


def test_the_extractor_is_the_codebooks_own_with_its_options(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    codebook = make_codebook(tmp_path / "codebook", options={"cmvn": "utterance", "deltas": 0})
    inputs = {"utterances": make_corpus(talkers[:2]), "codebook": codebook}
    folder = run_stage(units.STAGE, {}, inputs)
    made_of = manifest.read(str(folder)).made_of
    assert (made_of["backend"]["cmvn"], made_of["backend"]["deltas"]) == ("utterance", 0)


def test_another_extractor_is_refused_naming_both(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    inputs = {"utterances": make_corpus(talkers[:1]), "codebook": make_codebook(tmp_path / "codebook")}
    with pytest.raises(StaleArtifact, match='cmvn: "none" -> "utterance"'):
        run_stage(units.STAGE, {"extractor": "mfcc", "options": {"cmvn": "utterance"}}, inputs)


class Whole(Extractor):
    """An extractor that cannot stream: frames of raw samples."""

    grid = FrameGrid(RATE, 100, 100)
    sample_rate, dim = RATE, 100

    def identity(self) -> dict:
        return {"name": "whole"}

    def extract(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        return [audio[: len(audio) // 100 * 100].reshape(-1, 100) for audio in batch]


def test_an_extractor_that_cannot_stream_gets_the_audio_whole() -> None:
    audio = np.random.default_rng(0).standard_normal(1234).astype(np.float32)
    centroids = Centroids(audio[:500].reshape(5, 100))
    found = units.units_of(Whole(), centroids, iter(np.array_split(audio, 9)))
    assert len(found) == 12
    assert found[:5].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_four_hours_lose_no_frame_do_not_drift_and_stay_small_in_memory(tmp_path: Path) -> None:
    codebook = Codebook.load(make_codebook(tmp_path / "codebook"))
    extractor, centroids = MfccExtractor(), Centroids(codebook.centroids)
    extractor.load()
    hours, seconds = 4, 10  # of a piece; its length is no multiple of the stride
    piece = (np.random.default_rng(1).standard_normal(RATE * seconds + 77) * 0.05).astype(np.float32)
    total = RATE * 3600 * hours + 123

    def blocks() -> Iterator[np.ndarray]:
        left = total
        while left:
            yield piece[:left]
            left -= min(left, len(piece))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = units.units_of(extractor, centroids, blocks())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10  # the whole audio would be 922 MB
    assert len(found) == extractor.grid.num_frames(total) == 1_439_999
    assert grown < 64 << 20
    # The last 30 s by themselves, from a frame's start on: the same units but for float noise near a border.
    first = len(found) - 3000
    start = first * extractor.grid.stride
    tail = np.tile(piece, 5)[start % len(piece) :][: total - start]
    alone = units.units_of(extractor, centroids, iter([tail]))
    assert len(alone) == 3000
    assert np.mean(alone[5:] == found[first + 5 :]) > 0.999


@pytest.mark.parametrize("clip", ["libri", "lj"])
def test_real_long_recordings_give_all_their_frames(
    shared_data: Path, make_corpus: Callable, run_stage: Callable, tmp_path: Path, clip: str
) -> None:
    import json

    import soundfile

    lines = (shared_data / "longform" / "manifest.jsonl").read_text().splitlines()
    row = next(r for r in map(json.loads, lines) if r["id"].startswith(clip))
    path = shared_data / "longform" / row["audio"]
    info = soundfile.info(path)
    corpus = make_corpus([{"id": row["id"], "audio": str(path), "duration": info.duration}])
    folder = run_stage(units.STAGE, {}, {"utterances": corpus, "codebook": make_codebook(tmp_path / "codebook")})
    assert len(read(folder)[row["id"]]) == MfccExtractor.grid.num_frames(info.frames)
