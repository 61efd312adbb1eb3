"""Progress of a step: the totals at its beginning, and the counts during it, for every sharded stage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.small_recipe import SMALL_RECIPE
from helpers.toy_chain import chain

from speechprep.artifacts import manifest
from speechprep.demo import corpus_path
from speechprep.pipelines.engine import recipe
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.plan import prepare
from speechprep.pipelines.engine.progress import NoListener, report
from speechprep.pipelines.engine.run import Options, run_steps

RECIPE = SMALL_RECIPE


class Totals(NoListener):
    def __init__(self) -> None:
        self.utterances: dict[str, int] = {}
        self.progress: list[tuple] = []
        self.positions: list[str] = []

    def started(self, step, todo, tasks, seconds, utterances) -> None:
        self.utterances[step.name] = utterances

    def progressed(self, *counts) -> None:
        self.progress.append(counts)

    def reached(self, position) -> None:
        self.positions.append(position)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    entries = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text().splitlines()][:6]
    for entry in entries:
        (folder / entry["audio"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(corpus_path() / entry["audio"], folder / entry["audio"])
    (folder / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return folder


def test_every_sharded_stage_and_subword_count_up_to_the_utterances_of_their_inputs(tmp_path, corpus):
    (tmp_path / "small.yaml").write_text(RECIPE)
    steps = recipe.build(recipe.load(str(tmp_path / "small.yaml")), [str(corpus)], str(tmp_path / "run"))
    listener = Totals()
    run_steps(steps, Options(engine=Engine(workers=1)), listener)
    for step in steps:
        if step.stage.sharded or step.name == "subword":
            counted = manifest.read(step.folder).counters["utterances"]
            assert listener.utterances[step.name] == counted == 6, step.name


def test_a_report_sums_the_progress_files_of_the_workers_and_counts_commits(tmp_path):
    step = chain(tmp_path)[0]
    work = tmp_path / "work"
    prepared = prepare(step, work=str(work))
    for shard, note in ((0, ""), (1, "iteration 3 of 11")):
        state = {"utterances": 5, "seconds": 2.5, "rejects": 1, "note": note}
        (work / f"progress-{shard:05d}.json").write_text(json.dumps(state))
    (tmp_path / "numbers/_state").mkdir(parents=True)
    Path(prepared.tasks[2].record).write_text("{}")
    listener = Totals()
    report(prepared, listener)
    assert listener.progress == [(1, 10, 5.0, 2)]
    assert listener.positions == ["iteration 3 of 11"]
