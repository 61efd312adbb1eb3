"""What a user meets: retry commands that run, finished runs that stay untouched, no files left after a kill."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.toy_chain import chain

from speechprep.artifacts.run import open_run
from speechprep.cli import main
from speechprep.errors import StorageError
from speechprep.pipelines.engine.retry import retry_command, with_reject_limit
from speechprep.pipelines.engine.stage import find_stage


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a reject of `ingest` and a reject of `align`."""
    corpus = tmp_path / "a corpus"
    corpus.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    soundfile.write(corpus / "good.wav", noise, 16000)
    soundfile.write(corpus / "short.wav", noise[:40], 16000)
    (corpus / "short.txt").write_text("this text is far too long for such a recording")
    (corpus / "broken.wav").write_bytes(b"RIFF no audio here")
    out, common = tmp_path / "run", ("--max-reject-fraction", "1", "--quiet")
    options = ("--set", "language=no", "--set", "corpus=2024", "--seed", "3")
    assert call("ingest", "--input", corpus, "--out", out / "utterances", *common, *options) == 0
    assert call("align", "--input", out, "--out", out / "words", *common, "--set", "min_score=-6.5") == 0
    return out


def test_the_retry_command_of_each_reject_runs_in_the_run_folder_and_finds_the_work_done(run):
    opened = open_run(str(run))
    commands = {
        row["retry"] for kind in opened.kinds() for batch in opened[kind].rejects() for row in batch.to_pylist()
    }
    assert {command.split()[1] for command in commands} == {"ingest", "align"}
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command), "--json"]
        done = subprocess.run(words, cwd=run, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()} == before


def test_the_limit_of_rejects_is_in_the_retry_command_unless_it_is_the_default():
    assert with_reject_limit("speechprep align", 0.05) == "speechprep align"
    assert with_reject_limit("speechprep align", 1.0) == "speechprep align --max-reject-fraction 1"
    assert with_reject_limit("speechprep align", 0.125) == "speechprep align --max-reject-fraction 0.125"


def test_another_limit_of_rejects_runs_no_task_again(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    entries = [{"audio": "absent.wav", "id": "a"}, {"audio": "absent.wav", "id": "a"}]  # rejected by the planning
    (corpus / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for limit in ("1", "0.99999"):
        command = ("ingest", "--input", corpus, "--out", tmp_path / "run/utterances", "--quiet")
        call(*command, "--max-reject-fraction", limit)
        rows = [row for b in open_run(str(tmp_path / "run"))["utterances"].rejects() for row in b.to_pylist()]
        assert {row["code"] for row in rows} == {"duplicate_id"}
        assert all(row["retry"].endswith("--max-reject-fraction 1") for row in rows)


def test_the_command_of_a_step_names_changed_options_alone_and_does_not_depend_on_the_place():
    stage = find_stage("interleave")
    config = stage.configure({"kinds": ["ast", "cst_ut"], "text_words": "fixed:3"})
    inputs = {role: f"/data/x/run/{role}" for role in ("words", "units", "subword")}
    assert retry_command("interleave", config, 0, inputs.values(), "/data/x/run/tokens") == (
        "speechprep interleave --input words --input units --input subword --out tokens "
        '--set \'kinds=["ast", "cst_ut"]\' --set text_words=fixed:3'
    )


def test_a_finished_run_writes_nothing_at_all_when_it_is_run_again(run, tmp_path):
    def state() -> dict:
        return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in [run, *run.rglob("*")]}

    before = state()
    common = ("--max-reject-fraction", "1", "--quiet", "--set", "language=no", "--set", "corpus=2024", "--seed", "3")
    assert call("ingest", "--input", tmp_path / "a corpus", "--out", run / "utterances", *common) == 0
    assert state() == before


def test_a_killed_run_leaves_nothing_in_the_temporary_folder(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    code = f"""
from pathlib import Path
from helpers.toy_chain import chain, run
run(chain(Path({str(tmp_path / "out")!r}), count={{"upto": 40000, "shards": 64}}), workers=2)
"""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").rglob("task-*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() != str(temporary)
    assert chain(tmp_path / "out")


def test_without_the_loopback_interface_the_message_names_it(tmp_path, monkeypatch):
    import apache_beam
    import grpc
    from helpers.toy_chain import run as run_chain

    def unreachable(self, *_, **__):
        raise grpc.FutureTimeoutError

    monkeypatch.setattr(apache_beam.Pipeline, "run", unreachable)
    with pytest.raises(StorageError, match="loopback interface"):
        run_chain(chain(tmp_path))
