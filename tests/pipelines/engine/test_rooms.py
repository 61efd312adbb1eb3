"""The engine imports no stage; the modules of engine, driver and command line are short."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "speechprep"
ROOMS = [PACKAGE / "pipelines/engine", PACKAGE / "pipelines/driver", PACKAGE / "cli"]
MODULES = sorted(path for room in ROOMS for path in room.rglob("*.py"))


def test_the_engine_imports_no_stage_no_source_and_no_driver():
    refused = ("speechprep.pipelines.stages", "speechprep.pipelines.sources", "speechprep.pipelines.driver")
    for path in (PACKAGE / "pipelines/engine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.startswith(refused)], f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_and_functions_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 320
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} has over 60 lines"


def test_folders_have_at_most_15_modules():
    for folder in {path.parent for path in MODULES}:
        assert len(list(folder.glob("*.py"))) <= 15, folder
