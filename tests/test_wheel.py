"""The wheel, installed outside the checkout: it holds everything that the demo needs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel. The dependencies come from the present one, without a network."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "--no-index", "--no-deps", wheel, cwd=folder)
    # A folder on the path by a .pth file: its own .pth files, the editable installation among them, do not apply.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_installed_wheel_runs_the_demo_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    imported = run(environment / "bin/python", "-c", "import speechprep; print(speechprep.__file__)", cwd=tmp_path)
    assert Path(imported.strip()).is_relative_to(environment)
    printed = run(environment / "bin/speechprep", "demo", "--out", "out", cwd=tmp_path)
    assert "report.html" in printed
    assert (tmp_path / "out/report.html").stat().st_size > 10_000
    assert (tmp_path / "out/packed/_manifest.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_wheel_holds_recipes_corpus_and_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tracked = run("git", "ls-files", "speechprep", cwd=ROOT).splitlines()
    assert not set(tracked) - set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"speechprep"}
