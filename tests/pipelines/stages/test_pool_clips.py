"""pool over clips: each vector is the mean over the frames of the clip's own audio, from a file or stored bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from helpers import rowmaking as made

from speechprep.artifacts.schemas import CLIPS
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor
from speechprep.pipelines.engine.recipe import Recipe, build, single
from speechprep.pipelines.inspect.verify import verify
from speechprep.pipelines.stages import pool

RATE = 16_000
RANGES = [(0, 0.0, 0.7), (0, 0.25, 0.9), (2, 0.5, 1.25), (3, 0.0, 1.0), (3, 0.3, 0.301)]  # talker, t0, t1


def clips_of(talkers: list[dict[str, Any]], folder: Path, *, stored: bool) -> Path:
    rows = [
        {
            **dict.fromkeys(CLIPS.names),
            "id": f"{talkers[i]['id']}#{n}",
            "utterance": talkers[i]["id"],
            "audio": None if stored else str(folder.parent / "audio" / f"{talkers[i]['id']}.wav"),
            "offset": t0,
            "duration": t1 - t0,
        }
        for n, (i, t0, t1) in enumerate(RANGES)
    ]
    return made.write_dataset(folder, "clips", CLIPS, [rows[:2], rows[2:]])


def read(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for file in sorted(folder.glob("part-*")) for row in pq.read_table(file).to_pylist()}


@pytest.mark.parametrize("stored", [False, True], ids=["files", "stored audio"])
def test_a_vector_is_the_mean_over_the_audio_of_the_clip(
    make_corpus: Callable, run_stage: Callable, talkers: list, tmp_path: Path, stored: bool
) -> None:
    talkers = talkers[:4]
    inputs = {"utterances": make_corpus(talkers, 2)}
    if stored:
        files = {t["id"]: (tmp_path / "audio" / f"{t['id']}.wav").read_bytes() for t in talkers}
        plain = [{k: v for k, v in t.items() if k != "sound"} for t in talkers]
        embedded = [{**t, "audio_bytes": files[t["id"]], "duration": 9.0} for t in plain]
        inputs = {"utterances": make_corpus(embedded, 2, "embedded")}
    clips = clips_of(talkers, tmp_path / "clips", stored=stored)
    folder = run_stage(pool.STAGE, {"rows": "clips"}, {**inputs, "clips": clips}, out=tmp_path / "pooled")
    extractor = MfccExtractor()
    extractor.load()
    vectors = read(folder)
    assert list(vectors) == [f"{talkers[i]['id']}#{n}" for n, (i, _, _) in enumerate(RANGES[:-1])]
    for n, (i, t0, t1) in enumerate(RANGES[:-1]):
        sound, _ = soundfile.read(tmp_path / "audio" / f"{talkers[i]['id']}.wav", dtype="float32")
        frames = extractor.extract([sound[round(t0 * RATE) : round(t1 * RATE)]])[0]
        row = vectors[f"{talkers[i]['id']}#{n}"]
        assert row["n_valid"] == len(frames)
        np.testing.assert_allclose(row["mean"], frames.astype(np.float64).mean(axis=0), rtol=1e-5, atol=1e-5)
    rejects = pq.read_table(folder / "_rejects" / "part-00001-of-00002.parquet").to_pylist()
    assert [(row["id"], row["code"]) for row in rejects] == [(f"{talkers[3]['id']}#4", "audio_too_short")]
    assert not verify(str(folder)).problems


def test_stored_audio_needs_the_utterances(run_stage: Callable, talkers: list, tmp_path: Path) -> None:
    clips = clips_of(talkers, tmp_path / "clips", stored=True)
    with pytest.raises(ConfigError, match="stored in utterances; add --input RUN/utterances"):
        run_stage(pool.STAGE, {}, {"clips": clips}, out=tmp_path / "pooled")


def test_the_option_rows_and_the_inputs_choose_utterances_or_clips(
    make_corpus: Callable, talkers: list, tmp_path: Path
) -> None:
    utterances = str(make_corpus(talkers[:4], 2))
    clips = str(clips_of(talkers, tmp_path / "clips", stored=False))

    def roles(options: dict[str, Any], *sources: str) -> dict[str, str]:
        (step,) = single(pool.STAGE, options, 0, list(sources), str(tmp_path / "out"))
        return step.inputs

    assert roles({}, utterances) == {"utterances": utterances}
    assert roles({}, clips) == {"clips": clips}
    assert roles({}, utterances, clips) == {"utterances": utterances}  # as before there were clips
    assert roles({"rows": "clips"}, utterances, clips) == {"utterances": utterances, "clips": clips}
    assert roles({"rows": "clips"}, clips) == {"clips": clips}
    with pytest.raises(ConfigError, match="needs 'utterances'"):
        roles({"rows": "utterances"}, clips)


def test_a_recipe_pools_utterances_unless_the_step_asks_for_clips() -> None:
    steps = [{"stage": "ingest"}, {"stage": "align"}, {"stage": "clips"}, {"stage": "pool"}]
    steps.append({"stage": "pool", "name": "clip_vectors", "out": "pooled_clips", "options": {"rows": "clips"}})
    built = build(Recipe(name="r", steps=steps), ["in"], "out")  # type: ignore[arg-type]
    assert built[3].inputs == {"utterances": "out/utterances"}
    assert built[4].inputs == {"clips": "out/clips", "utterances": "out/utterances"}


def test_the_new_option_leaves_earlier_fingerprints_alone() -> None:
    assert pool.STAGE.configure({}).stored() == {"extractor": "mfcc", "options": {}}
