"""`speechprep --help` answers at once: what it imports, and the processor time it takes."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = (
    "apache_beam",
    "pyarrow",
    "numpy",
    "torch",
    "pydantic",
    "plotly",
    "faiss",
    "rich.progress",
    "speechprep.pipelines",
)
LIMIT = 0.5  # seconds of processor time, which a busy machine does not change much


def call(*args: str, after: str = "") -> subprocess.CompletedProcess:
    code = f"import sys, atexit\n{after}\nfrom speechprep.cli import main\nmain({list(args)!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], [], ["run", "--help"], ["demo", "--help"], ["search", "--help"]]
)
def test_help_imports_nothing_heavy(args):
    report = f"atexit.register(lambda: print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))"
    done = call(*args, after=report)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "HEAVY []"


def test_help_is_quick():
    best = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = call("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "Usage: speechprep" in done.stdout
    assert best < LIMIT


def test_libraries_are_kept_to_one_thread_unless_the_user_says_otherwise(monkeypatch):
    report = "import os\natexit.register(lambda: print(os.environ['OMP_NUM_THREADS'], file=sys.stderr))"
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert call("--version", after=report).stderr.strip() == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert call("--version", after=report).stderr.strip() == "3"


def test_every_stage_help_lists_the_options_of_its_stage():
    done = call("cluster", "--help")
    assert done.returncode == 0
    assert "Options of the stage (--set NAME=VALUE)" in done.stdout
    assert "min_perplexity" in done.stdout
