"""Temporary folders of this machine: a later run removes those of dead processes, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers.toy_chain import chain, run

from speechprep.pipelines.engine import scratch

KILLED_WHILE_PLANNING = """
import os, signal, sys
from pathlib import Path
from helpers import toy_stages as toy
from helpers.toy_chain import chain, run

def plan(config, sources, scratch):
    (scratch / "listing").write_text("unfinished")
    os.kill(os.getpid(), signal.SIGKILL)

steps = chain(Path(sys.argv[1]))[:1]
run(steps)
object.__setattr__(steps[0].stage, "plan", plan)
run(steps)
"""
KILLED_ON_OBJECT_STORAGE = """
import sys
from helpers.toy_chain import run
from helpers import toy_stages as toy
from speechprep.pipelines.engine.plan import Step
count = Step("count", toy.COUNT, toy.COUNT.configure({}), 0, {}, "memory://run/numbers", ["nowhere"])
double = Step("double", toy.DOUBLE, toy.DOUBLE.configure({"kill": 33}), 0, {"numbers": "memory://run/numbers"},
              "memory://run/doubles")
run([count, double])
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("code", [KILLED_WHILE_PLANNING, KILLED_ON_OBJECT_STORAGE])
def test_the_next_run_removes_the_temporary_folder_of_a_killed_run(tmp_path, temporary, code):
    environment = {**os.environ, "TMPDIR": str(temporary)}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [p.name for p in temporary.iterdir() if p.name.startswith("speechprep-")], (
        "the kill left no folder to remove"
    )
    run(chain(tmp_path / "another")[:1])
    assert [p.name for p in temporary.iterdir() if p.name.startswith("speechprep-")] == []


def test_folders_of_running_processes_and_of_other_machines_stay(temporary, monkeypatch):
    with scratch.temporary_folder() as own:
        (temporary / "speechprep-notes").mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(scratch.platform, "node", lambda: "another.machine")
            patch.setattr(scratch.os, "getpid", lambda: 2**22 + 1)  # above the largest process id of Linux
            elsewhere = scratch.temporary_folder()
            elsewhere.__enter__()
        before = sorted(temporary.iterdir())
        assert len(before) == 3
        scratch.remove_abandoned()
        assert sorted(temporary.iterdir()) == before
        monkeypatch.setattr(scratch, "is_alive", lambda pid: False)
        scratch.remove_abandoned()
        assert Path(own) not in temporary.iterdir()
        Path(own).mkdir()
        elsewhere.__exit__(None, None, None)
