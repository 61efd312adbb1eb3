from __future__ import annotations

from pathlib import Path

import pytest
from helpers.teacher_runs import write_teacher_run


@pytest.fixture(scope="session")
def teacher_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher_run(tmp_path_factory.mktemp("teacher") / "run")
