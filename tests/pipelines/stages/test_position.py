"""Centring, the shift test and the gate of `cluster`, with an extractor whose frames are mostly a clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import manifest_edits
from helpers.clock_extractor import DIM, WINDOW, ClockExtractor

from speechprep import registry
from speechprep.artifacts import manifest
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.media import audio
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines import features, shift
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages import sample, units
from speechprep.pipelines.stages.cluster import position, stage
from speechprep.tokenizers.kmeans.nearest import Centroids

CLOCK = {"backend": "clock"}
SMALL = {"k": 6, "init": "kmeans++", "max_silence": 1.0}
GRID = ClockExtractor.grid
EXTRA = {"positions", "mfcc", "shifted"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FAMILIES["extractors"], "clock", "helpers.clock_extractor:ClockExtractor")


def speech(seconds: float, seed: int) -> np.ndarray:
    """A tone in one of six bands, another one every 0.3 s, with faint noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(4800) / 16_000
    parts = [np.sin(2 * np.pi * (400 + 1000 * rng.integers(0, 6)) * t) for _ in range(round(seconds / 0.3) + 1)]
    sound = np.concatenate(parts)[: round(seconds * 16_000)]
    return (0.3 * sound + 0.003 * rng.standard_normal(len(sound))).astype(np.float32)


def recordings(n: int = 60, seconds: float = 32.0) -> list[dict[str, Any]]:
    return [{"id": f"r{i}", "sound": speech(seconds + i % 3, i)} for i in range(n)]


@pytest.fixture
def sampled(make_corpus: Callable, run_stage: Callable, tmp_path: Path) -> Callable[..., Path]:
    def run(rows: list[dict[str, Any]], shards: int = 2, options: dict[str, Any] | None = None) -> Path:
        corpus = make_corpus(rows, shards, name=f"utterances{shards}")
        out = tmp_path / f"sample{shards}"
        config = {"max_frames": 10**6, **CLOCK, **(options or {})}
        return run_stage(sample.STAGE, config, {"utterances": corpus, "corpus": corpus}, out=out)

    return run


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for path in sorted(folder.glob("part-*")) for row in pq.read_table(path).to_pylist()}


# -- sample ------------------------------------------------------------------------------------------------------------


def test_each_frame_has_its_number_in_the_window_and_its_mfcc(sampled: Callable) -> None:
    made = sampled(recordings(4))
    mfcc = shift._mfcc()
    for id, row in rows_of(made).items():
        assert row["positions"] == [frame % WINDOW for frame in row["frames"]]
        sound = audio.decode(str(made.parent / "audio" / f"{id}.wav"), sample_rate=16_000)[: WINDOW * 1600]
        wanted = mfcc.extract([sound])[0]
        stored = np.frombuffer(row["mfcc"], "<f4").reshape(-1, 39)
        first = [frame for frame in row["frames"] if frame < WINDOW]
        assert np.array_equal(stored, wanted[np.minimum(np.array(first) * 10, len(wanted) - 1)])
    extra = manifest.read(str(made)).extra
    assert (extra["window_frames"], extra["shift_leads"]) == (WINDOW, [0, 5, 30, 100])


def test_the_speech_of_the_shift_test_is_the_same_after_each_lead(sampled: Callable) -> None:
    rows = rows_of(sampled(recordings(4)))
    assert all(row["shifted"] for row in rows.values()), "a corpus of fewer utterances than the test takes them all"
    clockless = ClockExtractor(weight=0.0)
    embedding = ClockExtractor()._frames(np.zeros(WINDOW * 1600, np.float32)) - clockless._frames(
        np.zeros(WINDOW * 1600, np.float32)
    )
    for row in rows.values():
        blobs = [np.frombuffer(blob, "<f4").reshape(-1, DIM) for blob in row["shifted"]]
        assert [len(blob) for blob in blobs] == [50] * 4  # 5 s
        plain = [blob - embedding[lead : lead + 50] for blob, lead in zip(blobs, [0, 5, 30, 100], strict=True)]
        for other in plain[1:]:
            np.testing.assert_allclose(other, plain[0], atol=1e-4)


def test_about_16_utterances_are_tested_whatever_the_size_of_the_corpus() -> None:
    for rows in (100, 5000):
        tested = [i for i in range(rows) if shift.is_tested(3, f"u{i}", rows)]
        assert 4 < len(tested) < 32
    assert all(shift.is_tested(0, f"u{i}", 16) for i in range(16))


def test_an_utterance_of_the_test_without_sampled_frames_has_an_empty_row(sampled: Callable) -> None:
    rows = rows_of(sampled(recordings(6), options={"max_frames": 2, "spread": 1}))
    assert len(rows) == 6
    assert sum(len(row["frames"]) for row in rows.values()) < 10
    assert all(len(row["features"]) == 4 * DIM * len(row["frames"]) for row in rows.values())


def test_an_extractor_without_a_window_writes_the_columns_and_version_of_before(
    make_corpus: Callable, run_stage: Callable, talkers: list, sampled: Callable
) -> None:
    corpus = make_corpus(talkers)
    plain = run_stage(sample.STAGE, {}, {"utterances": corpus, "corpus": corpus})
    assert manifest.read(str(plain)).made_of["version"] == 1
    assert not EXTRA & set(pq.read_schema(next(plain.glob("part-*"))).names)
    assert not {"window_frames", "shift_leads"} & manifest.read(str(plain)).extra.keys()
    windowed = sampled(recordings(2))
    assert manifest.read(str(windowed)).made_of["version"] == 2
    assert set(pq.read_schema(next(windowed.glob("part-*"))).names) >= EXTRA


# -- cluster -----------------------------------------------------------------------------------------------------------


def test_units_of_a_clock_are_refused_with_their_figures_and_pass_after_centring(
    sampled: Callable, run_stage: Callable, tmp_path: Path
) -> None:
    made = sampled(recordings())
    with pytest.raises(ConfigError, match=r"^the units follow the position .*\d+% after 0.5 s, \d+% after 3 s, "):
        run_stage(stage.STAGE, SMALL, {"sample": made}, out=tmp_path / "raw")
    refused = json.loads((tmp_path / "raw/_state/quality.json").read_text())
    assert min(refused["shift"]["kept"].values()) < 0.5
    folder = run_stage(stage.STAGE, {**SMALL, "center": "position"}, {"sample": made}, out=tmp_path / "centred")
    report = json.loads((folder / "quality.json").read_text())
    assert min(report["shift"]["kept"].values()) > 0.9
    assert report["position"]["pnmi"] < refused["position"]["pnmi"] / 3
    assert report["position"]["pnmi_mfcc"] == refused["position"]["pnmi_mfcc"] < 0.2
    stored = json.loads((folder / "codebook.json").read_text())
    assert stored["quality"] == {"shift": report["shift"], "position": report["position"]}
    facts = manifest.read(str(folder)).extra
    assert facts["shift"]["kept"].keys() == {"0.5", "3", "10"}
    assert facts["normalisation"]["center"] == "position"


def test_the_message_offers_centring_only_if_it_is_off() -> None:
    report = {"k": 4, "perplexity": 4.0, "unused_share": 0.0, "shift": {"kept": {"0.5": 0.9, "10": 0.1, "3": 0.2}}}
    from speechprep.pipelines.stages.cluster.quality import gate

    with pytest.raises(ConfigError, match=r"20% after 3 s, 10% after 10 s.*at least 50%.*layer, set center: position"):
        gate(report, stage.Config())
    with pytest.raises(ConfigError, match="another layer, or lower min_shift_kept"):
        gate(report, stage.Config(center="position"))
    gate(report, stage.Config(min_shift_kept=0.1))
    gate({**report, "shift": {}}, stage.Config())


def test_the_shift_test_counts_as_a_brute_force_does(sampled: Callable, run_stage: Callable, tmp_path: Path) -> None:
    made = sampled(recordings(20))
    options = {**SMALL, "min_shift_kept": 0.0, "center": "position"}
    folder = run_stage(stage.STAGE, options, {"sample": made}, out=tmp_path / "c")
    book = Codebook.load(folder)
    wide = book.centroids.astype(np.float64)
    for column, (seconds, lead) in enumerate([("0.5", 5), ("3", 30), ("10", 100)], start=1):
        same = total = 0
        for row in rows_of(made).values():
            if row["shifted"] is None:
                continue
            pair = []
            for number, start in ((0, 0), (column, lead)):
                frames = np.frombuffer(row["shifted"][number], "<f4").reshape(-1, DIM)
                moved = [(frame - book.means[start + i]).astype(np.float64) for i, frame in enumerate(frames)]
                pair.append([int(((wide - m) ** 2).sum(axis=1).argmin()) for m in moved])
            same += sum(a == b for a, b in zip(*pair, strict=True))
            total += len(pair[0])
        assert book.quality["shift"]["kept"][seconds] == pytest.approx(same / total)
        assert book.quality["shift"]["frames"] == total


@pytest.mark.parametrize("options", [{"center": "position"}, {"standardize": True}])
def test_the_means_and_the_scale_are_those_of_the_sample(
    sampled: Callable, run_stage: Callable, tmp_path: Path, options: dict[str, Any]
) -> None:
    made = sampled(recordings(20))
    config = {**SMALL, "min_shift_kept": 0.0, **options}
    book = Codebook.load(run_stage(stage.STAGE, config, {"sample": made}, out=tmp_path / "c"))
    rows = rows_of(made).values()
    frames = np.concatenate([np.frombuffer(row["features"], "<f4").reshape(-1, DIM) for row in rows])
    numbers = np.concatenate([row["positions"] for row in rows])
    if "center" in options:
        for number in (0, 7, WINDOW - 1):
            rows_of_number = frames[numbers == number].astype(np.float64)
            expected = (rows_of_number.sum(axis=0) + 20 * frames.mean(axis=0, dtype=np.float64)) / (
                len(rows_of_number) + 20
            )
            np.testing.assert_allclose(book.means[number], expected, rtol=1e-5, atol=1e-5)
        assert book.scale is None
    else:
        np.testing.assert_allclose(1 / book.scale, frames.std(axis=0, dtype=np.float64), rtol=1e-5)
        assert book.means is None


def test_shards_do_not_change_a_byte_of_a_normalised_codebook(
    sampled: Callable, run_stage: Callable, tmp_path: Path
) -> None:
    config = {**SMALL, "center": "position", "standardize": True}
    folders = [
        run_stage(stage.STAGE, config, {"sample": sampled(recordings(30), shards)}, out=tmp_path / f"c{shards}")
        for shards in (1, 3)
    ]
    for file in ("centroids.npy", "position_means.npy", "scale.npy", "codebook.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes(), file


def test_centring_is_refused_without_frame_numbers(make_corpus: Callable, run_stage: Callable, talkers: list) -> None:
    corpus = make_corpus(talkers)
    made = run_stage(sample.STAGE, {}, {"utterances": corpus, "corpus": corpus})
    with pytest.raises(ConfigError, match=r"the sample has no frame numbers.*whisper.*--rebuild"):
        run_stage(stage.STAGE, {"k": 4, "center": "position"}, {"sample": made})


def test_centring_on_short_windows_is_refused_with_the_seconds_and_the_remedy(
    sampled: Callable, run_stage: Callable, tmp_path: Path
) -> None:
    made = sampled(recordings(seconds=3.0))  # 3 to 5 s
    match = r"10 or more frames .* has them for 5 of 30 s\. Sample longer recordings.*center_window"
    with pytest.raises(ConfigError, match=match):
        run_stage(stage.STAGE, {**SMALL, "center": "position"}, {"sample": made}, out=tmp_path / "c")
    options = {**SMALL, "center": "position", "center_window": 3.0}
    book = Codebook.load(run_stage(stage.STAGE, options, {"sample": made}, out=tmp_path / "d"))
    assert book.covered_frames == 30


def test_units_reject_audio_beyond_the_window_of_a_codebook(
    sampled: Callable, run_stage: Callable, tmp_path: Path, make_corpus: Callable
) -> None:
    made = sampled(recordings(seconds=3.0))
    options = {**SMALL, "center": "position", "center_window": 4.0}
    folder = run_stage(stage.STAGE, options, {"sample": made}, out=tmp_path / "c")
    corpus = make_corpus([{"id": "short", "sound": speech(4.0, 1)}, {"id": "long", "sound": speech(4.2, 2)}], name="in")
    out = run_stage(units.STAGE, {}, {"utterances": corpus, "codebook": folder}, out=tmp_path / "u")
    assert list(rows_of(out)) == ["short"]
    rejects = pq.read_table(out / "_rejects" / "part-00000-of-00001.parquet").to_pylist()
    assert [(r["id"], r["code"]) for r in rejects] == [("long", "audio_too_long")]


def test_long_leads_are_left_out_of_the_test_if_the_means_do_not_reach_them(
    sampled: Callable, run_stage: Callable, tmp_path: Path
) -> None:
    made = sampled(recordings(seconds=3.0))
    options = {**SMALL, "center": "position", "center_window": 4.0}
    folder = run_stage(stage.STAGE, options, {"sample": made}, out=tmp_path / "c")
    kept = json.loads((folder / "quality.json").read_text())["shift"]["kept"]
    assert kept.keys() == {"0.5"}  # 2 s of speech after it end within the 4 s
    assert kept["0.5"] > 0.8


# -- units -------------------------------------------------------------------------------------------------------------


def test_units_of_a_centred_codebook_do_not_depend_on_shards_blocks_or_workers(
    sampled: Callable, run_stage: Callable, tmp_path: Path, make_corpus: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SMALL, "center": "position", "standardize": True}
    folder = run_stage(stage.STAGE, options, {"sample": sampled(recordings(30))}, out=tmp_path / "c")
    book = Codebook.load(folder)
    rows = [{"id": f"x{i}", "sound": speech(20 + 17 * i, 100 + i)} for i in range(4)]
    found = []
    for n, workers, long_seconds in ((1, 1, 600.0), (3, 2, 600.0), (2, 1, 30.0)):
        monkeypatch.setattr(features, "LONG_SECONDS", long_seconds)
        corpus = make_corpus(rows, n, name=f"in{n}")
        inputs = {"utterances": corpus, "codebook": folder}
        out = run_stage(units.STAGE, {}, inputs, out=tmp_path / f"u{n}", workers=workers)
        found.append({id: row["units"] for id, row in rows_of(out).items()})
    assert found[0] == found[1] == found[2]
    extractor = ClockExtractor()
    for row in rows:
        heard = audio.decode(str(tmp_path / "audio" / f"{row['id']}.wav"), sample_rate=16_000)
        frames = extractor.extract([heard])[0]
        plain = Centroids(book.centroids)
        moved = [(frame - book.means[i % WINDOW]) * book.scale for i, frame in enumerate(frames)]
        assert found[0][row["id"]] == plain.assign(np.array(moved)).tolist()


def test_pnmi_with_position_needs_frames_of_the_first_window() -> None:
    grid = FrameGrid(16_000, 1600, 1600)
    nothing = position.position_pnmi(
        position.FrameSample([], *(np.zeros(0, np.int64) for _ in range(4))), np.zeros(0), np.zeros(0, np.uint64),
        lambda columns: iter(()), 4, grid,
    )  # fmt: skip
    assert nothing == {}


# -- verify ------------------------------------------------------------------------------------------------------------


def test_verify_recomputes_the_facts_of_a_window_where_the_extractor_is_known(
    sampled: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sampled(recordings(4))
    assert not verify(str(made)).problems
    stored = manifest.read(str(made))
    body = json.loads((made / manifest.NAME).read_text())
    body["extra"]["shift_leads"][1] += 1
    manifest_edits.write(made / manifest.NAME, body)
    assert [problem.what.split()[0] for problem in verify(str(made)).problems] == ["extra.shift_leads"]
    monkeypatch.setattr(ClockExtractor, "identity", lambda self: {"name": "another"})
    assert not verify(str(made)).problems, "without the extractor of the sample the facts of its window stay unchecked"
    assert stored.extra["shift_leads"] == [0, 5, 30, 100]


@pytest.mark.parametrize("options", [{"center": "position", "standardize": True}, {}])
def test_verify_knows_the_facts_of_a_codebook_of_frames_with_positions(
    sampled: Callable, run_stage: Callable, tmp_path: Path, options: dict[str, Any]
) -> None:
    config = {**SMALL, "min_shift_kept": 0.0, **options}
    folder = run_stage(stage.STAGE, config, {"sample": sampled(recordings(20))}, out=tmp_path / "c")
    assert not verify(str(folder)).problems
    body = json.loads((folder / manifest.NAME).read_text())
    body["extra"]["shift"]["kept"]["3"] = 0.99
    manifest_edits.write(folder / manifest.NAME, body)
    assert [problem.what.split()[0] for problem in verify(str(folder)).problems] == ["extra.shift.kept.3"]
