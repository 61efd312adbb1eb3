"""A package of somebody else adds an extractor, a stage, a dataset kind, a dialect, a scorer and a model, and all work.

`tests/third_party` is a folder as pip installs it: a package and its entry points. speechprep itself is not edited.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from speechprep.demo import corpus_path

HERE = Path(__file__).parent / "third_party"


def call(*arguments: object, code: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "speechprep", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run over a list of acme, with units of the extractor of acme."""
    folder = tmp_path_factory.mktemp("acme")
    rows = [json.loads(line) for line in (corpus_path() / "manifest.jsonl").read_text().splitlines()]
    spoken = [row for row in rows if row.get("text")][:5]
    (folder / "corpus").mkdir()
    for row in spoken:
        shutil.copy(corpus_path() / row["audio"], folder / "corpus")
    lines = [f"{Path(row['audio']).name}|{row['text']}" for row in spoken]
    (folder / "corpus" / "all.acme").write_text("\n".join(["#acme", *lines]) + "\n")
    (folder / "acme.yaml").write_text(
        "name: acme\nsteps:\n- stage: ingest\n- stage: align\n- stage: phrases\n  options: {words: 3}\n"
        "- stage: sample\n  options: {backend: acme-energy}\n- stage: cluster\n  options: {k: 12, min_perplexity: 0}\n"
        "- stage: units\n- stage: subword\n  options: {unit_vocab_size: 40, text_vocab_size: 280}\n"
        "- stage: interleave\n"
    )
    call("run", folder / "acme.yaml", "--input", folder / "corpus", "--out", folder / "run", "--quiet")
    return folder / "run"


def test_the_dialect_was_recognised_and_read(run):
    described = json.loads(call("inspect", run / "utterances", "--json"))
    assert described["rows"] == 5
    assert described["rejects"] == {}
    assert described["counters"]["utterances"] == 5


def test_the_stage_has_a_command_a_line_in_the_help_and_verified_rows(run):
    assert "words -> phrases" in call("--help")
    assert "words of a phrase" in call("phrases", "--help")
    assert json.loads(call("inspect", run / "phrases", "--json"))["rows"] > 10
    assert "no problems" in call("verify", run)
    again = json.loads(call("phrases", "--input", run, "--out", run.parent / "phrases4", "--set", "words=4", "--json"))
    assert again["stages"][-1]["rows"] > 5


def test_rows_that_break_the_declared_kind_are_found(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    manifest = tmp_path / "run" / "phrases" / "_manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows": ', '"rows": 1'))
    call("verify", tmp_path / "run", code=1)


def test_the_extractor_made_the_units(run):
    assert json.loads(call("inspect", run / "codebook", "--json"))["extra"]["extractor"]["name"] == "acme-energy"
    assert "acme-energy" in call("backends", "list")
    assert "acme-energy" in call("backends", "check", "acme-energy")


def test_the_scorer_is_a_command(tmp_path):
    for name, texts in (("r", ["a", "b"]), ("h", ["a", "c"])):
        lines = [json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    files = ("--references", tmp_path / "r.jsonl", "--hypotheses", tmp_path / "h.jsonl")
    assert json.loads(call("eval", "acme-exact", *files, "--json"))["score"] == 0.5
    assert "acme-exact" in call("eval", "--help")


def test_the_model_is_listed_with_its_options_and_its_evaluation(run):
    assert "acme-bigram" in call("train", "--help")
    assert "width of the embedding" in call("train", "acme-bigram", "--help")
    assert "acme-count" in call("eval", "--help")


@pytest.mark.reference
def test_the_model_trains_with_its_terms_in_the_metrics_and_is_evaluated(run, tmp_path):
    pytest.importorskip("accelerate")
    options = ["steps=6", "rows=4", "log_every=2", "width=4"]
    settings = [argument for option in options for argument in ("--set", option)]
    call("train", "acme-bigram", "--data", run, "--out", tmp_path / "m", "--quiet", *settings)
    lines = [json.loads(line) for line in (tmp_path / "m" / "metrics.jsonl").read_text().splitlines()]
    assert {"next_token", "size", "loss"} <= lines[-1].keys()
    answer = json.loads(call("eval", "acme-count", "--model", tmp_path / "m", "--data", run, "--least", "4", "--json"))
    assert answer["score"] > 5


def test_the_guide_to_models_shows_the_code_of_the_package():
    guide = (HERE.parents[1] / "docs" / "models.md").read_text()
    points = (HERE / "acme-1.0.dist-info" / "entry_points.txt").read_text()
    code = (HERE / "acme" / "model.py").read_text() + (HERE / "acme" / "bigram.py").read_text()
    assert "acme-bigram = acme.model:BIGRAM" in points
    assert 'acme-bigram = "acme.model:BIGRAM"' in guide
    lines = [
        'return (LossTerm("next_token"), LossTerm("size", 0.01, unit="items"))',
        "return torch.tensor([input_ids[:, 1:].numel(), len(input_ids)], device=input_ids.device)",
        "loss = combine(self.loss_terms(), sums, batch_counts if counts is None else counts)",
        "return ModelOutput(loss=loss, sums=sums.detach(), counts=batch_counts)",
        'evaluations=(Evaluation("acme-count", "Count token rows.", CountOptions, "acme.model:evaluate"),)',
        'width: int = Field(8, ge=1, description="width of the embedding")',
    ]
    assert [line for line in lines if line not in guide or line not in code] == []
