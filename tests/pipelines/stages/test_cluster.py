"""sample and cluster: which frames are kept, what is said of the units, and which codebooks are refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechprep.artifacts import manifest
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor
from speechprep.pipelines.stages import sample
from speechprep.pipelines.stages.cluster import quality as quality
from speechprep.pipelines.stages.cluster import selection, stage
from speechprep.pipelines.stages.cluster.selection import FrameSample
from speechprep.tokenizers.kmeans.lloyd import Lloyd

GRID = MfccExtractor.grid
ITERATIONS = stage.Config().iterations


def frame_sample(counts: list[int], silent: list[bool] | None = None) -> FrameSample:
    n = sum(counts)
    return FrameSample(
        ids=[f"u{i}" for i in range(len(counts))],
        utterance=np.repeat(np.arange(len(counts)), counts),
        frame=np.concatenate([np.arange(c) for c in counts]).astype(np.int64),
        silent=np.array(silent if silent is not None else [False] * n),
        row=np.arange(n),
    )


def words_batch(rows: list[dict[str, Any]]) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pylist(rows)]


# -- sampling ------------------------------------------------------------------------------------------------------


@given(sizes=st.lists(st.floats(0, 1e6), min_size=1, max_size=20), total=st.floats(1, 1e6))
def test_a_fair_level_uses_up_the_total_and_takes_from_the_large(sizes: list[float], total: float) -> None:
    level = sample.fair_level(sizes, total)
    assert sum(min(size, level) for size in sizes) == pytest.approx(min(total, sum(sizes)), rel=1e-6, abs=1e-6)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 3000), max_size=5))
def test_which_frames_are_kept_does_not_depend_on_the_blocks(cuts: list[int]) -> None:
    plan = sample.SamplingPlan.make(sample.Config(max_frames=400), 3, {(): 3000.0})
    edges = [0, *sorted(cuts), 3000]
    parts = [plan.keep({"id": "x"}, a, b) for a, b in pairwise(edges)]
    assert np.concatenate(parts).tolist() == plan.keep({"id": "x"}, 0, 3000).tolist()


def test_a_large_corpus_is_looked_into_only_as_far_as_needed() -> None:
    config = sample.Config(max_frames=10_000, spread=20)
    plan = sample.SamplingPlan.make(config, 0, {(): 4_000_000.0})
    rows = [{"id": f"u{i}"} for i in range(4000)]  # of 1000 frames each
    wanted = [row for row in rows if plan.wants(row)]
    kept = sum(len(plan.keep(row, 0, 1000)) for row in wanted)
    assert 160 < len(wanted) < 240  # 1 in 20 of the corpus holds 20 times the frames asked for
    assert 9_000 < kept < 11_000


def test_the_level_meter_tells_silence_and_passes_the_audio_on() -> None:
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal(16_000) * 0.1).astype(np.float32)
    audio[8000:] *= 1e-3
    for pieces in ([audio], np.array_split(audio, 13)):
        meter = sample.LevelMeter(160)
        assert np.array_equal(np.concatenate(list(meter.through(iter(pieces)))), audio)
        assert meter.silent(98).tolist() == [False] * 50 + [True] * 48


def read_sample(folder: Path) -> dict[str, Any]:
    rows = [row for path in sorted(folder.glob("part-*")) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row for row in rows}


def test_the_sample_holds_the_frames_it_names(make_corpus: Callable, run_stage: Callable, talkers: list) -> None:
    corpus = make_corpus(talkers, 3)
    folder = run_stage(sample.STAGE, {"max_frames": 500}, {"utterances": corpus, "corpus": corpus})
    rows = read_sample(folder)
    extractor = MfccExtractor()
    extractor.load()
    assert 400 < sum(len(row["frames"]) for row in rows.values()) < 600
    for talker in talkers:
        row = rows[talker["id"]]
        audio = (np.round(talker["sound"] * 32768).clip(-32768, 32767) / 32768).astype(np.float32)
        frames = extractor.extract([audio])[0]
        kept = np.frombuffer(row["features"], "<f4").reshape(-1, 39)
        np.testing.assert_allclose(kept, frames[row["frames"]], atol=0.5)  # soundfile rounds in its own way
        assert len(row["silent"]) == len(row["frames"])
        assert any(row["silent"])
        assert not all(row["silent"])
    extra = manifest.read(str(folder)).extra
    assert extra["frames_kept"] == sum(len(row["frames"]) for row in rows.values())
    assert extra["dim"] == 39
    assert extra["extractor"] == extractor.identity()


def test_the_cut_into_shards_does_not_change_the_sample(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    found = []
    for n, order in ((1, 1), (3, -1), (8, 1)):
        corpus = make_corpus(talkers[::order], n, name=f"in{n}")
        options = {"max_frames": 300, "balance": "speaker"}
        out = run_stage(sample.STAGE, options, {"utterances": corpus, "corpus": corpus}, out=tmp_path / f"out{n}")
        found.append(read_sample(out))
    assert found[0] == found[1] == found[2]


def test_balanced_sampling_gives_each_speaker_as_much_as_there_is(
    make_corpus: Callable, run_stage: Callable, talkers: list
) -> None:
    corpus = make_corpus(talkers)
    options = {"max_frames": 400, "balance": "speaker"}
    rows = read_sample(run_stage(sample.STAGE, options, {"utterances": corpus, "corpus": corpus}))
    by_speaker: dict[Any, int] = {}
    for talker in talkers:
        by_speaker[talker["speaker"]] = by_speaker.get(talker["speaker"], 0) + len(rows[talker["id"]]["frames"])
    # Four groups ask for 100 frames each; None has 88 and 1.3 s of c has 128, so the level is a little over 100.
    assert by_speaker[None] == 88
    assert all(70 < by_speaker[speaker] < 140 for speaker in "abc")


def test_short_and_missing_audio_is_rejected_and_the_rest_is_there(
    make_corpus: Callable, run_stage: Callable, talkers: list
) -> None:
    rows = [
        {"id": "short", "sound": np.zeros(399, np.float32)},
        *talkers,
        {"id": "gone", "audio": "/nowhere.wav", "duration": 1.0},
    ]
    corpus = make_corpus(rows)
    folder = run_stage(sample.STAGE, {}, {"utterances": corpus, "corpus": corpus})
    rejects = pq.read_table(folder / "_rejects" / "part-00000-of-00001.parquet").to_pylist()
    assert [(r["id"], r["code"]) for r in rejects] == [("gone", "audio_missing"), ("short", "audio_too_short")]
    assert set(read_sample(folder)) == {talker["id"] for talker in talkers}


def test_a_list_balances_within_what_it_balances() -> None:
    """Licence x has two speakers, y has one: half of the frames each, and in x a quarter for each speaker."""
    frames_of = {("x", "a"): 5000.0, ("x", "b"): 9000.0, ("y", "c"): 4000.0, ("z", ""): 10.0}
    config = sample.Config(max_frames=4010, balance=["licence", "speaker"])
    plan = sample.SamplingPlan.make(config, 0, frames_of)
    given_by = {group: plan.share[group] * n for group, n in frames_of.items()}
    assert given_by == pytest.approx({("x", "a"): 1000, ("x", "b"): 1000, ("y", "c"): 2000, ("z", ""): 10})
    row = {"id": "u", "licence": "x", "speaker": "b"}
    assert 850 < len(plan.keep(row, 0, 9000)) < 1150
    assert plan.columns == ["licence", "speaker"]


@pytest.mark.parametrize("column", ["corpus", "licence"])
def test_a_corpus_with_few_hours_is_not_drowned(
    make_corpus: Callable, run_stage: Callable, talkers: list, column: str
) -> None:
    for talker in talkers:
        talker[column] = "small" if talker["speaker"] == "a" else "large"
    corpus = make_corpus(talkers)
    options = {"max_frames": 600, "balance": [column, "speaker"]}
    rows = read_sample(run_stage(sample.STAGE, options, {"utterances": corpus, "corpus": corpus}))
    from_a = sum(len(rows[t["id"]]["frames"]) for t in talkers if t["speaker"] == "a")
    in_all = sum(len(row["frames"]) for row in rows.values())
    assert 0.4 < from_a / in_all < 0.6  # of 11.2 of 16.4 seconds


def test_balance_by_something_that_utterances_do_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="balance"):
        sample.STAGE.configure({"balance": "colour"})


# -- silence -------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(silent=st.lists(st.booleans(), min_size=2, max_size=60), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_the_share_of_silence_is_at_most_the_quota(silent: list[bool], share: float, seed: int) -> None:
    whole = frame_sample([len(silent) // 2, len(silent) - len(silent) // 2], silent)
    kept = selection.limit_silence(whole, share, seed)
    voiced = [bool(s) for s in silent].count(False)
    assert (~kept.silent).sum() == voiced
    if voiced:
        assert kept.silent.mean() <= max(share, 0) + 1e-9
        spare = len(silent) - len(kept.silent)
        assert (
            spare == 0 or (kept.silent.sum() + 1) / (len(kept.silent) + 1) > share - 1e-9
        )  # no more thrown away than needed


def test_which_silent_frames_stay_does_not_depend_on_the_order_of_utterances() -> None:
    sample_ = frame_sample([50, 70], [i % 3 > 0 for i in range(120)])
    order = np.r_[50:120, 0:50]
    turned = FrameSample(
        ["u1", "u0"], 1 - sample_.utterance[order], sample_.frame[order], sample_.silent[order], np.arange(120)
    )
    kept = [selection.limit_silence(s, 0.4, 5) for s in (sample_, turned)]
    named = [{(s.ids[u], int(f)) for u, f in zip(s.utterance, s.frame, strict=True)} for s in kept]
    assert named[0] == named[1]


# -- agreement with words --------------------------------------------------------------------------------------------


def test_frames_get_the_word_at_their_centre() -> None:
    grid = FrameGrid(16_000, 160, 400)  # centres at 0.0125 + 0.01 i
    words = [{"text": "One", "start": 0.03, "end": 0.06}, {"text": "two", "start": 0.06, "end": 0.08}]
    words += [{"text": "ONE", "start": 0.1, "end": 0.2}]
    rows = quality.word_rows(iter(words_batch([{"id": "u0", "words": words}, {"id": "other", "words": words}])))
    labels = quality.frame_labels(frame_sample([15, 3]), rows, grid)
    assert labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 0, 0, 1, 1, 1, 1, 1, 1, -1, -1, -1]


def test_an_utterance_without_words_is_all_gap() -> None:
    empty = pa.RecordBatch.from_pylist(
        [{"id": "u0", "words": []}, {"id": "u1", "words": None}],
        schema=pa.schema([("id", pa.string()), ("words", pa.list_(pa.struct([("text", pa.string())])))]),
    )
    rows = quality.word_rows(iter([empty]))
    assert quality.frame_labels(frame_sample([2, 1]), rows, GRID).tolist() == [0, 0, 0]


def test_frames_of_labels_and_units_are_counted_with_the_rest_in_one_row() -> None:
    rng = np.random.default_rng(2)
    k, names = 7, [f"l{i}" for i in range(quality.MAX_LABELS + 20)]
    units, labels = rng.integers(0, k, 5000), rng.integers(-1, len(names), 5000)
    numbers = {name: i for i, name in enumerate(names)} | {"never": len(names)}
    counts = quality.label_counts(units, labels, numbers, k)
    expected = Counter(zip(labels.tolist(), units.tolist(), strict=True))
    by_label = {name: [expected[i, unit] for unit in range(k)] for i, name in enumerate(names)}
    order = sorted(names, key=lambda name: (-sum(by_label[name]), name))
    assert counts["labels"] == order[: quality.MAX_LABELS]
    assert counts["frames"] == [by_label[name] for name in order[: quality.MAX_LABELS]]
    assert counts["other"] == np.sum([by_label[name] for name in order[quality.MAX_LABELS :]], axis=0).tolist()


def test_units_that_are_the_labels_agree_fully_and_random_ones_hardly() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 20_000)
    perfect = quality.agreement(4 - labels, labels)
    assert (perfect["label_purity"], perfect["cluster_purity"]) == (1.0, 1.0)
    assert perfect["pnmi"] == pytest.approx(1.0)
    noise = quality.agreement(rng.integers(0, 5, 20_000), labels)
    assert noise["pnmi"] < 0.01
    assert noise["label_purity"] == pytest.approx(0.2, abs=0.03)


def test_agreement_against_a_table_worked_by_hand() -> None:
    units, labels = np.array([0, 0, 0, 1, 1, 9]), np.array([0, 0, 1, 1, 1, -1])
    found = quality.agreement(units, labels)
    assert found["labelled_frames"] == 5
    assert found["label_purity"] == pytest.approx(4 / 5)
    h_y = -(0.4 * np.log(0.4) + 0.6 * np.log(0.6))
    mutual = 0.4 * np.log(0.4 / (0.4 * 0.6)) + 0.2 * np.log(0.2 / (0.6 * 0.6)) + 0.4 * np.log(0.4 / (0.6 * 0.4))
    assert found["pnmi"] == pytest.approx(mutual / h_y)


def test_without_any_label_nothing_is_claimed() -> None:
    assert quality.agreement(np.array([1, 2]), np.array([-1, -1])) == {}


# -- the stage -------------------------------------------------------------------------------------------------------


def sampled(make_corpus: Callable, run_stage: Callable, rows: list) -> Path:
    corpus = make_corpus(rows, 2)
    return run_stage(sample.STAGE, {}, {"utterances": corpus, "corpus": corpus})


def test_a_codebook_with_its_passport_and_report(make_corpus: Callable, run_stage: Callable, talkers: list) -> None:
    folder = run_stage(stage.STAGE, {"k": 20}, {"sample": sampled(make_corpus, run_stage, talkers)}, seed=4)
    codebook = Codebook.load(folder)
    known = manifest.read(str(folder))
    report = json.loads((folder / "quality.json").read_text())
    assert codebook.centroids.shape == (20, 39)
    assert codebook.extractor == MfccExtractor().identity()
    assert codebook.backend == {"extractor": "mfcc", "options": {}}
    assert codebook.frames_used == sum(codebook.counts) <= codebook.frames_seen
    assert codebook.sampling["seed"] == codebook.quantizer["seed"] == 4
    assert codebook.quantizer["init"] == "random"
    assert [times for _, times in codebook.quantizer["schedule"]] == [ITERATIONS]
    assert codebook.quantizer["schedule"][-1][0] == codebook.frames_used
    assert (known.kind, known.extra["k"], known.extra["codebook"]) == ("codebook", 20, codebook.fingerprint)
    assert known.extra["grid"] == GRID.as_dict()
    assert report["perplexity"] > 10
    assert report["silent_share"] <= 0.3
    assert "words" not in report


def test_words_where_they_are_give_purity(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    from speechprep.artifacts import shards
    from speechprep.artifacts.schemas import WORDS

    name = shards.shard_name(0, 1)
    word = {"score": None, "timing": "given"}
    spoken = [{"text": "one", "start": 0.0, "end": 0.8, **word}, {"text": "two", "start": 0.8, "end": 9.0, **word}]
    with shards.ShardWriter(str(tmp_path / "words" / name), WORDS) as writer:
        writer.write([{"id": "u0", "words": spoken}, {"id": "u1", "words": spoken}])
    shard = manifest.Shard(name, "k", writer.sha256, writer.size, rows=2)
    manifest.write(str(tmp_path / "words"), manifest.Manifest("words", "w", "w", {}, [shard], {}, [], {}, {}))
    inputs = {"sample": sampled(make_corpus, run_stage, talkers), "words": tmp_path / "words"}
    folder = run_stage(stage.STAGE, {"k": 10}, inputs)
    found = json.loads((folder / "quality.json").read_text())["words"]
    assert found["labels"] == 2
    assert 0.5 < found["label_purity"] <= 1
    assert 0 <= found["pnmi"] <= 1
    assert found["labelled_frames"] < Codebook.load(folder).frames_used


def test_phones_of_timit_agree_with_units(shared_data: Path, run_stage: Callable, tmp_path: Path) -> None:
    from speechprep.pipelines.stages import ingest

    lines = [json.loads(line) for line in (shared_data / "timit-sample/manifest.jsonl").read_text().splitlines()]
    table = tmp_path / "phones.csv"
    rows = [f"{x['id']},{p['start']},{p['end']},{p['p']}" for x in lines for p in x["phones"]]
    table.write_text("\n".join(["id,start,end,label", *rows]) + "\n")
    corpus = run_stage(ingest.STAGE, {}, sources=[shared_data / "timit-sample/manifest.jsonl"])
    made = run_stage(sample.STAGE, {}, {"utterances": corpus, "corpus": corpus})
    folder = run_stage(stage.STAGE, {"labels": str(table)}, {"sample": made})
    report = json.loads((folder / "quality.json").read_text())
    found = report["labels"]
    counts = json.loads((folder / "unit_labels.json").read_text())
    assert set(counts["labels"]) == {p["p"] for x in lines for p in x["phones"]} | {""}
    assert np.sum(counts["frames"], axis=0).tolist() == report["counts"]
    assert found["labels"] == len({p["p"] for x in lines for p in x["phones"]}) + 1  # and what lies outside
    assert found["labelled_frames"] == report["frames_used"]
    assert 0.2 < found["pnmi"] < 0.6  # chance is some 0.02


@pytest.mark.parametrize("moment", [1, 9, ITERATIONS])
def test_a_cluster_that_was_killed_goes_on_with_its_next_iteration(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path, moment: int
) -> None:
    """Killed by the kernel, at once, after an iteration was committed."""
    made = sampled(make_corpus, run_stage, talkers)
    wanted = run_stage(stage.STAGE, {"k": 12}, {"sample": made}, out=tmp_path / "whole")
    script = tmp_path / "die.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(made), str(tmp_path / "killed"), str(moment)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert (tmp_path / "killed/_state/k-means.npz").exists()
    shutil.rmtree(tmp_path / "killed/_work")  # else the task runs in a process of its own, where nothing can be counted
    counted: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        iterate = Lloyd.update
        patch.setattr(Lloyd, "update", lambda self, *a: counted.append(1) or iterate(self, *a))
        again = run_stage(stage.STAGE, {"k": 12}, {"sample": made}, out=tmp_path / "killed")
    assert len(counted) == ITERATIONS - moment
    for file in ("centroids.npy", "codebook.json", "quality.json"):
        assert (again / file).read_bytes() == (wanted / file).read_bytes()
    assert not (again / "_state").exists()


KILLED = """
import os, signal, sys
from speechprep.pipelines.stages.cluster.stage import STAGE
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps
from speechprep.tokenizers.kmeans.state import Checkpoint

made, out, moment = sys.argv[1:]
save, saved = Checkpoint.save, []

def dying(self, state):
    save(self, state)
    saved.append(state)
    if len(saved) == int(moment):
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoint.save = dying
run_steps([Step("cluster", STAGE, STAGE.configure({"k": 12}), 0, {"sample": made}, out)], Options())
"""


def test_the_cut_of_the_sample_into_shards_changes_no_centroid(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    found = []
    for n in (1, 3):
        corpus = make_corpus(talkers, n, name=f"in{n}")
        made = run_stage(sample.STAGE, {}, {"utterances": corpus, "corpus": corpus}, out=tmp_path / f"sample{n}")
        found.append(run_stage(stage.STAGE, {"k": 12}, {"sample": made}, out=tmp_path / f"codebook{n}"))
    assert (found[0] / "centroids.npy").read_bytes() == (found[1] / "centroids.npy").read_bytes()


def test_features_lie_in_the_file_where_their_places_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 4)).astype("<f4")
    counts = [7, 0, 11, 12]
    blobs = [part.tobytes() for part in np.split(features, np.cumsum(counts)[:-1])]
    batches = [pa.RecordBatch.from_pydict({"features": pa.array(blobs[:2], pa.large_binary())})]
    batches += [pa.RecordBatch.from_pydict({"features": pa.array(blobs[2:], pa.large_binary())})]
    kept = np.flatnonzero(rng.random(30) < 0.6)
    first = rng.random(len(kept)) < 0.5
    selection.spill(frame_sample(counts).take(kept), iter(batches), 4, first, tmp_path / "f")
    written = np.fromfile(tmp_path / "f", "<f4").reshape(-1, 4)
    assert np.array_equal(written[selection.places(first)], features[kept])
    assert np.array_equal(written[: first.sum()], features[kept][first])


def test_a_run_again_gives_the_same_bytes(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path
) -> None:
    made = sampled(make_corpus, run_stage, talkers)
    folders = [run_stage(stage.STAGE, {"k": 12}, {"sample": made}, out=tmp_path / name) for name in ("a", "b")]
    for file in ("centroids.npy", "codebook.json", "quality.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


def test_a_collapsed_codebook_is_refused_with_its_numbers_and_the_report_stays(
    make_corpus: Callable, run_stage: Callable, tmp_path: Path
) -> None:
    """A corpus of nothing but digital silence and one click: all frames fall on a few centroids."""
    silence = np.zeros(32_000, np.float32)
    click = silence.copy()
    click[8000:8100] = 0.5
    made = sampled(make_corpus, run_stage, [{"id": "s", "sound": silence}, {"id": "c", "sound": click}])
    out = tmp_path / "collapsed"
    with pytest.raises(ConfigError, match=r"^the codebook has collapsed: perplexity") as caught:
        run_stage(stage.STAGE, {"k": 16, "max_silence": 1.0}, {"sample": made}, out=out)
    assert "of 16 units" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert manifest.find(str(out)) is None
    report = json.loads((out / "_state" / "quality.json").read_text())
    assert report["perplexity"] < 0.2 * 16


def test_the_gate_names_each_bar_that_was_missed() -> None:
    config = stage.Config(k=100, min_perplexity=0.5, max_unused=0.1)
    report = {
        "k": 100,
        "perplexity": 1.0,
        "unused_share": 0.99,
        "dead_units": 90,
        "duplicate_units": 9,
        "frames_used": 5,
    }
    with pytest.raises(ConfigError, match=r"perplexity 1\.0 of 100.*90 dead and 9 duplicate"):
        quality.gate(report, config)
    quality.gate({**report, "perplexity": 60.0, "unused_share": 0.1}, config)


def test_duplicates_are_counted_once_each() -> None:
    centroids = np.array([[0, 0], [0, 0.01], [5, 5], [0.01, 0]], np.float32)
    assert quality.duplicates(centroids, 0.1) == 2
    assert quality.duplicates(centroids, 0.0) == 0


def test_more_units_than_frames_are_refused(make_corpus: Callable, run_stage: Callable, talkers: list) -> None:
    made = sampled(make_corpus, run_stage, talkers[-1:])
    with pytest.raises(ConfigError, match=r"k = 5000 units cannot be made of \d+ sampled frames"):
        run_stage(stage.STAGE, {"k": 5000}, {"sample": made})


def test_an_empty_sample_says_where_to_look(make_corpus: Callable, run_stage: Callable) -> None:
    made = sampled(make_corpus, run_stage, [{"id": "short", "sound": np.zeros(10, np.float32)}])
    with pytest.raises(ConfigError, match="rejects of sample"):
        run_stage(stage.STAGE, {}, {"sample": made})


def test_few_frames_for_each_unit_are_a_warning() -> None:
    told = stage.STAGE.warning({"k": 100, "frames_used": 3999})
    assert "3,999 frames for 100 units" in told
    assert "lower k to 99" in told
    assert stage.STAGE.warning({"k": 100, "frames_used": 4000}) == ""
