"""The shipped recipes: every step has its inputs, and the recipes of the papers have the rows that the papers need."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import speechprep
from speechprep.pipelines.engine import recipe as recipes
from speechprep.pipelines.inspect.verify import verify

PAPERS = ("whisper", "sutlm", "dmlm")


@pytest.mark.parametrize("name", sorted(recipes.shipped()))
def test_a_shipped_recipe_is_built_and_described(name: str) -> None:
    steps = recipes.build(recipes.load(name), ["corpus"], "run")
    assert len(steps) > 5
    assert recipes.shipped()[name]


def test_the_recipes_of_the_papers_are_shipped() -> None:
    assert set(PAPERS) <= set(recipes.shipped())


def test_the_recipe_whisper_pools_its_clips_and_ends_with_arrays() -> None:
    steps = {step.name: step for step in recipes.build(recipes.load("whisper"), ["corpus"], "run")}
    assert steps["pool"].inputs == {"clips": "run/clips", "utterances": "run/utterances"}
    assert steps["vectors"].inputs == {"pooled": "run/pooled"}
    assert steps["clips"].config.words == [25, 50]  # type: ignore[attr-defined]
    assert steps["align"].config.transcribe == "always"  # type: ignore[attr-defined]


def test_one_option_names_the_model_of_each_step() -> None:
    settings = ["align.recogniser_options.model=M", "sample.options.model=M", "pool.options.model=M"]
    body = recipes.load("whisper").with_options(settings)
    options = {step.title(): step.options for step in body.steps}
    assert options["align"]["recogniser_options"] == {"model": "M"}
    assert options["sample"]["options"] == {"model": "M", "layer": 3, "truncate": True}  # the other values stay
    assert options["pool"]["options"] == {"model": "M", "layer": 6}


@pytest.mark.whisper
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
def test_the_recipe_whisper_runs_on_real_speech_with_real_weights(shared_data: Path, tmp_path: Path) -> None:
    weights = os.environ.get("SPEECHPREP_WHISPER")
    if not weights:
        pytest.skip("no Whisper weights: set SPEECHPREP_WHISPER to the folder of scripts/fetch_whisper.py")
    pytest.importorskip("torch")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = []
    for name, count in (("librispeech-mini", 14), ("ljspeech-aligned", 10)):
        lines = (shared_data / name / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        for row in map(json.loads, lines[:count]):
            shutil.copy(shared_data / name / row["audio"], corpus)
            rows.append({"audio": Path(row["audio"]).name, **{key: row[key] for key in ("id", "text", "speaker")}})
    (corpus / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = {"model": str(Path(weights) / "base.pt"), "device": "cpu"}
    options = {
        "align": {"recogniser_options": {"model": str(Path(weights) / "whisper-base-ct2")}},
        "sample": {"options": {**model, "layer": 3, "truncate": True}},
        # The clips are shorter than the window, and their frames are few.
        "cluster": {"k": 50, "center_window": 8.0, "min_shift_kept": 0.0},
        "subword": {"unit_vocab_size": 200, "text_vocab_size": 300},
        "clips": {"words": [8], "splits": {"train": 1.0}},
        "pool": {"options": {**model, "layer": 6, "truncate": True}},
    }
    outcome = speechprep.run(
        "whisper", inputs=corpus, out=tmp_path / "run", options=options, workers=1, max_reject_fraction=1.0
    )
    assert outcome.status == "done"
    run = speechprep.open(tmp_path / "run")
    words = list(run["words"].records(["kept", "wer", "source_text"]))
    assert sum(row["kept"] for row in words) >= 0.95 * len(rows)
    assert sum(row["wer"] for row in words) < 0.2 * len(rows)
    kinds = {row["kind"] for row in run["tokens"].records(["kind"])}
    assert kinds <= {"cst_ut", "cst_tu", "ast"}
    assert "ast" in kinds
    vectors = speechprep.vectors(tmp_path / "run")
    clips = [row["id"] for row in run["clips"].records(["id"])]
    assert sorted(clips) == vectors.ids.to_pylist()
    assert vectors.mean.shape == (len(clips), 512)
    pairs = list(speechprep.pairs(run, "unmatched"))
    assert len(pairs) > len(clips) / 2
    assert not verify(str(tmp_path / "run")).problems
