"""A driver killed at any operation on the disk: the same command gives the same bytes, and leaves nothing else."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from helpers.kills import KillAt, forked, operations
from helpers.toy_chain import chain, run

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="no fork server on this system"
)
KILLS = int(os.environ.get("SPEECHPREP_KILLS", "100"))


def command(out: Path, workers: int, later: bool) -> None:
    options = {"times": 3} if later else {}
    run(chain(out, count={"bad": 10, "upto": 60}, options=options), workers=workers, rebuild=later)


def killed(at: int, after: bool, out: Path, workers: int, later: bool) -> None:
    KillAt(at, after=after)
    command(out, workers, later)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[bool, dict[str, bytes]], int]:
    """A run folder, its files after the first command and after the second, and the operations of the first."""
    out = tmp_path_factory.mktemp("kills") / "run"
    number = operations(command, out, 1, False)
    files = {False: tree(out)}
    assert forked(command, out, 1, True) == 0
    files[True] = tree(out)
    return out, files, number


def kill(made, number: int) -> None:
    """Kill one or two runs one after the other, then repeat the command."""
    out, files, count = made
    rng = random.Random(number)
    later, workers = rng.random() < 0.4, rng.choice([1, 2])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if later:  # the folders are complete, and are made again with other options
        for name, content in files[False].items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
    for _ in range(rng.choice([1, 1, 2])):
        at, after = rng.randrange(1, count), rng.random() < 0.5
        assert forked(killed, at, after, out, workers, later) in (-signal.SIGKILL, 0)
    assert forked(command, out, workers, later) == 0, f"kill {number}"
    found = tree(out)
    assert found.keys() == files[later].keys(), f"kill {number}"
    assert found == files[later], f"kill {number}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(2))
def test_a_killed_run_goes_on_with_the_same_bytes(made, number):
    kill(made, number)


@pytest.mark.long
@pytest.mark.parametrize("number", range(2, 2 + KILLS))
def test_many_killed_runs_go_on_with_the_same_bytes(made, number):
    kill(made, number)
