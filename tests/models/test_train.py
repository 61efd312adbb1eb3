"""Training: exact resume, any division into batches and ranks, controls, and refusals before the first step."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from safetensors.torch import load_file  # noqa: E402

from speechprep.errors import ConfigError, StaleArtifact  # noqa: E402
from speechprep.models.sutlm.train import SutlmOptions, training_job  # noqa: E402
from speechprep.models.training.run import train  # noqa: E402

pytestmark = pytest.mark.reference
SMALL = {"size": "tiny", "context": 64, "rows": 4, "steps": 6, "log_every": 2, "save_every": 3, "batch_tokens": None}


def fit(run: Path, out: Path, **options) -> bool:
    chosen = SutlmOptions.of({**SMALL, **options})
    return train(training_job([str(run)], chosen), chosen, out, quiet=True)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def distance(a: Path, b: Path) -> float:
    one, two = weights(a), weights(b)
    return max(float((one[k].double() - two[k].double()).abs().max()) for k in one)


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "whole"
    assert fit(run, out)
    return out


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_speed(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in ("tokens_per_second", "data_share")} for row in rows]


def test_a_run_that_was_stopped_goes_on_to_the_same_weights_bit_for_bit(run, trained, tmp_path):
    assert not fit(run, tmp_path / "x", stop_at=4)
    assert not (tmp_path / "x" / "model.safetensors").exists()
    assert fit(run, tmp_path / "x")
    assert same(tmp_path / "x", trained)
    assert without_speed(metrics(tmp_path / "x")) == without_speed(metrics(trained))


def test_a_checkpoint_that_was_not_finished_is_passed_over(run, trained, tmp_path):
    fit(run, tmp_path / "x", stop_at=4)
    (tmp_path / "x" / "checkpoint-4" / "place.json").unlink()
    assert fit(run, tmp_path / "x")
    assert same(tmp_path / "x", trained)


def test_a_finished_run_is_left_alone_and_another_is_refused(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "x")
    before = (tmp_path / "x" / "model.safetensors").stat().st_mtime_ns
    assert fit(run, tmp_path / "x")
    assert (tmp_path / "x" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match=r"options.lr: 0.0003 -> 0.1"):
        fit(run, tmp_path / "x", lr=0.1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(ConfigError, match="not empty"):
        fit(run, tmp_path / "mine")


def test_accumulated_batches_give_the_weights_of_one_batch(run, tmp_path):
    for rows in (8, 4, 1):
        fit(run, tmp_path / str(rows), rows=rows, batch_tokens=8 * 64, dropout=0.0, steps=4)
    assert distance(tmp_path / "8", tmp_path / "4") < 1e-6
    assert distance(tmp_path / "8", tmp_path / "1") < 1e-6


@pytest.mark.parametrize("options", [{"checkpointing": True}, {"attention": "dense"}, {"attention": "flex"}])
def test_options_of_speed_and_memory_change_the_weights_by_rounding_alone(run, tmp_path, options):
    fit(run, tmp_path / "plain", dropout=0.0, steps=4)
    fit(run, tmp_path / "other", dropout=0.0, steps=4, **options)
    assert distance(tmp_path / "plain", tmp_path / "other") < 1e-5


def test_a_training_may_resume_with_another_kernel(run, tmp_path):
    assert not fit(run, tmp_path / "x", stop_at=3)
    assert fit(run, tmp_path / "x", attention="dense", checkpointing=True)


@pytest.mark.long
def test_a_compiled_model_is_trained_and_saved_under_its_own_names(run, trained, tmp_path):
    fit(run, tmp_path / "x", compile=True, steps=2, dropout=0.0)
    fit(run, tmp_path / "plain", steps=2, dropout=0.0)
    assert distance(tmp_path / "plain", tmp_path / "x") < 1e-4


def test_losses_are_reported_by_class_and_fall(trained):
    rows = metrics(trained)
    assert [row["step"] for row in rows] == [1, 2, 4, 6]
    assert {"unit", "text", "switch", "tokens", "tokens_per_second", "learning_rate"} <= rows[0].keys()
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize(("data", "classes"), [("speech", {"unit", "switch"}), ("text", {"text", "switch"})])
def test_the_controls_see_one_modality_alone(run, tmp_path, data, classes):
    fit(run, tmp_path / "x", data=data, steps=2)
    seen = metrics(tmp_path / "x")[0].keys() & {"unit", "text", "switch", "special"}
    assert seen == classes


@pytest.mark.slow
def test_two_ranks_train_what_one_does(run, tmp_path):
    arguments = [f"--set={k}={v}" for k, v in {**SMALL, "dropout": 0.0, "steps": 4}.items() if v is not None]
    arguments += ["--set=batch_tokens=256"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    command = ["-m", "speechprep", "train", "sutlm", "-q", "--data", str(run), "--out", str(tmp_path / "two")]
    done = subprocess.run(
        [*launch, *command, *arguments, "--set=rows=2"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fit(run, tmp_path / "one", dropout=0.0, steps=4, batch_tokens=256)
    assert distance(tmp_path / "one", tmp_path / "two") < 5e-6


def test_validation_keeps_utterances_out_and_is_reported(run, tmp_path):
    fit(run, tmp_path / "x", validation=0.5, validate_every=3, validate_batches=1, validation_group="s.")
    rows = [row for row in metrics(tmp_path / "x") if "eval_unit" in row]
    assert [row["step"] for row in rows] == [3, 6]
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert config["held_out"] == {"share": 0.5, "group": "s."}


def test_what_does_not_fit_is_refused_with_both_sides_named(run, trained, tmp_path):
    with pytest.raises(ConfigError, match="no option 'size_of_model'"):
        SutlmOptions.of({"size_of_model": 3})
    with pytest.raises(StaleArtifact, match="neither a run"):
        fit(tmp_path, tmp_path / "x")
    with pytest.raises(ConfigError, match=r"rows of 128 tokens.*64 positions"):
        fit(run, tmp_path / "y", init=str(trained), context=128)
    config = trained / "config.json"
    shutil.copytree(trained, tmp_path / "other")
    changed = json.loads(config.read_text())
    changed["vocabulary"] = "f" * 64
    (tmp_path / "other" / "config.json").write_text(json.dumps(changed))
    with pytest.raises(StaleArtifact, match="ffffffffffff"):
        fit(run, tmp_path / "z", init=str(tmp_path / "other"))
