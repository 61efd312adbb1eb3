"""The environment of the Makefile: creation, repair of half-made ones, refusals. With a fake Python, offline."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not shutil.which("make") or not shutil.which("bash"), reason="needs make and bash")

# An interpreter that answers the calls of scripts/environment.sh. Switches are environment variables.
FAKE = """#!/bin/bash
folder=$(dirname "$(dirname "$0")")
case "$*" in
  "-c print('starts')") echo starts ;;
  "-c "*) echo "${FAKE_VERSION:-3.11}" ;;
  "-m venv "*)
    mkdir -p "$3/bin"; touch "$3/pyvenv.cfg"; cp "$0" "$3/bin/python"
    [ -z "$NO_VENV_MODULE" ] || exit 1
    touch "$3/pip" ;;
  "-m pip --version") test -e "$folder/pip" ;;
  "-m pip install "*) echo "$*" >> installs.log; [ -z "$FAIL_INSTALL" ] || { touch "$folder/half"; exit 1; } ;;
  *) echo "unexpected: $*"; exit 9 ;;
esac
"""
Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that `make setup` reads, and a fake Python."""
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/environment.sh"):
        shutil.copy(ROOT / name, folder / name)
    write_fake(folder / "python")
    return folder


def write_fake(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(FAKE)
    path.chmod(0o755)


@pytest.fixture
def make(checkout: Path) -> Make:
    def call(*arguments: str, path: str = "/usr/bin:/bin", **switches: str) -> subprocess.CompletedProcess[str]:
        given = arguments or ("PYTHON=./python",)
        return subprocess.run(
            ["make", "--no-print-directory", "setup", *given],
            cwd=checkout,
            env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **switches},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call


def installs(checkout: Path) -> int:
    log = checkout / "installs.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_the_environment_is_made_once_and_the_first_line_has_its_size(checkout: Path, make: Make) -> None:
    first = make()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "GB on disk" in first.stdout.splitlines()[0]
    assert "minutes" in first.stdout.splitlines()[0]
    assert "-c constraints.txt -e .[cpu,dev]" in (checkout / "installs.log").read_text()
    assert make().returncode == 0
    assert installs(checkout) == 1


@pytest.mark.parametrize("damage", ["no python", "dangling python", "no pip", "interrupted", "no pyvenv.cfg"])
def test_a_damaged_environment_is_made_again(checkout: Path, make: Make, damage: str) -> None:
    make()
    venv = checkout / ".venv"
    (venv / "leftover").touch()
    match damage:
        case "no python":
            (venv / "bin/python").unlink()
        case "dangling python":
            (venv / "bin/python").unlink()
            (venv / "bin/python").symlink_to("/nowhere/python3.11")
        case "no pip":
            (venv / "pip").unlink()
            next(venv.glob(".installed-*")).unlink()
        case "interrupted":
            (venv / ".incomplete").touch()
        case "no pyvenv.cfg":
            (venv / "pyvenv.cfg").unlink()
            (venv / "bin/python").unlink()
            (venv / ".incomplete").touch()
    again = make()
    assert again.returncode == 0, again.stdout + again.stderr
    assert not (venv / "leftover").exists()
    assert (venv / "bin/python").exists()
    assert not (venv / ".incomplete").exists()
    assert installs(checkout) == 2
    make()
    assert installs(checkout) == 2


def test_a_failed_installation_starts_from_an_empty_folder_the_next_time(checkout: Path, make: Make) -> None:
    failed = make(FAIL_INSTALL="1")
    assert failed.returncode != 0
    assert "the installation failed" in failed.stderr
    assert (checkout / ".venv/half").exists()
    assert make().returncode == 0
    assert not (checkout / ".venv/half").exists()


def test_without_the_venv_module_the_error_names_the_package_and_nothing_is_left(checkout: Path, make: Make) -> None:
    failed = make(NO_VENV_MODULE="1")
    assert failed.returncode != 0
    assert "apt install python3.11-venv" in failed.stderr
    assert not (checkout / ".venv").exists()
    assert make().returncode == 0


def test_changed_pins_install_again_into_the_same_environment(checkout: Path, make: Make) -> None:
    make()
    (checkout / ".venv/leftover").touch()
    pins = checkout / "constraints.txt"
    pins.write_text(pins.read_text() + "# changed\n")
    assert make().returncode == 0
    assert (checkout / ".venv/leftover").exists()
    assert installs(checkout) == 2


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.14"])
def test_a_python_without_wheels_is_refused_before_anything_is_made(checkout: Path, make: Make, version: str) -> None:
    refused = make(FAKE_VERSION=version)
    assert refused.returncode != 0
    assert f"is Python {version}" in refused.stderr
    assert "3.11 and 3.13" in refused.stderr
    assert not (checkout / ".venv").exists()


def test_another_python_than_the_environment_has_makes_it_again(checkout: Path, make: Make) -> None:
    make()
    write_fake(checkout / "newer/python")
    newer = (checkout / "newer/python").read_text().replace("FAKE_VERSION:-3.11", "FAKE_VERSION:-3.13")
    (checkout / "newer/python").write_text(newer)
    (checkout / ".venv/leftover").touch()
    next((checkout / ".venv").glob(".installed-*")).unlink()
    assert "with Python 3.13" in make("PYTHON=./newer/python").stdout
    assert not (checkout / ".venv/leftover").exists()


def test_a_python_that_does_not_start_is_named(make: Make) -> None:
    assert "PYTHON=/nowhere/python does not start" in make("PYTHON=/nowhere/python").stderr


def test_the_first_supported_python_on_the_path_is_taken(checkout: Path, make: Make) -> None:
    for name in ("python3.11", "python3.13", "python3"):
        write_fake(checkout / "bin" / name)
    (checkout / "bin/python3.11").write_text("#!/bin/bash\nexit 127\n")  # as a shim of pyenv
    done = make("EXTRAS=cpu", path=f"{checkout / 'bin'}:/usr/bin:/bin", FAKE_VERSION="3.13")
    assert "speechprep [cpu] with Python 3.13" in done.stdout, done.stderr
    shutil.rmtree(checkout / ".venv")
    refused = make("EXTRAS=cpu", path=f"{checkout / 'bin'}:/usr/bin:/bin", FAKE_VERSION="3.12")
    assert "no supported Python on PATH: python3 is 3.12" in refused.stderr


def test_a_folder_with_files_of_the_user_is_never_removed(checkout: Path, make: Make) -> None:
    (checkout / "data").mkdir()
    (checkout / "data/speech.wav").touch()
    refused = make("PYTHON=./python", "VENV=data")
    assert refused.returncode != 0
    assert "is no virtual environment" in refused.stderr
    assert (checkout / "data/speech.wav").exists()


def test_help_needs_no_environment(checkout: Path) -> None:
    listed = subprocess.run(["make", "help"], cwd=checkout, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "test-long", "docs", "lint", "types", "setup"):
        assert f"\n{target} " in listed
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("failing", ["", "types"])
def test_continuous_integration_prints_the_time_of_each_part(tmp_path: Path, failing: str) -> None:
    write_fake(tmp_path / "bin/make")
    (tmp_path / "bin/make").write_text(f'#!/bin/bash\n[ "$1" != "{failing}" ]\n')
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    done = subprocess.run(
        [tmp_path / ".ci/run"],
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    times = [line.split("s  ")[1] for line in done.stdout.splitlines() if " s  " in line]
    if failing:
        assert done.returncode != 0
        assert times == ["environment", "lint", "types: failed", "all"]
    else:
        assert done.returncode == 0
        assert times[:5] == ["environment", "lint", "types", "docs", "core tests"]
        assert times[-3:] == ["tests with all extras", "real weights", "all"]
