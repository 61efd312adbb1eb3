"""SIGTERM ends a training after the present update, with a checkpoint and exit code 143; the same command resumes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

pytestmark = pytest.mark.reference


def test_sigterm_leaves_a_checkpoint_and_the_same_command_resumes(run, tmp_path):
    out = tmp_path / "model"
    options = ["size=tiny", "context=512", "rows=2", "log_every=1", "save_every=100000"]
    command = [sys.executable, "-m", "speechprep", "train", "sutlm", "--data", str(run), "--out", str(out)]
    command += [argument for option in options for argument in ("--set", option)]
    long = subprocess.Popen(
        [*command, "--set", "steps=100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    metrics = out / "metrics.jsonl"
    while long.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 2):
        time.sleep(0.1)
    long.send_signal(signal.SIGTERM)
    _, errors = long.communicate(timeout=120)
    assert long.returncode == 143, errors
    assert errors.strip().splitlines()[-1].startswith("stopped: SIGTERM after step")
    checkpoints = list(out.glob("checkpoint-*/place.json"))
    assert len(checkpoints) == 1
    step = int(checkpoints[0].parent.name.rpartition("-")[2])
    again = [*command, "--set", "steps=100000", "--set", f"stop_at={step + 1}"]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"resumes after step {step:,}" in done.stdout
