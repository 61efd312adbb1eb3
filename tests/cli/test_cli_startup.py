"""`speechprep --help` starts fast: it imports the parser and nothing else. `benchmarks/startup.py` has the time."""

from __future__ import annotations

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


def test_help_imports_no_package_but_the_parser():
    report = "atexit.register(lambda: print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr))"
    done = call("--help", after=report)
    assert "Usage: speechprep" in done.stdout
    imported = {name for name in done.stderr.split() if name not in sys.stdlib_module_names and name[0] != "_"}
    assert imported <= {"speechprep", "typer", "annotated_doc", "shellingham"}


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
