"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no bug
hypothesis.settings.load_profile("untimed")

# Worker processes import the toy stages of `helpers`, as pytest does by its option `pythonpath`.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).strip(":")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real speech beside the checkout; tests that need it skip, visibly, where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"no real speech here: {SHARED} is absent")
    return SHARED


@pytest.fixture(scope="session")
def gpu() -> str:
    """Name of the GPU for tests marked `gpu`; SPEECHPREP_GPU=cpu runs their code without one."""
    torch = pytest.importorskip("torch")
    name = os.environ.get("SPEECHPREP_GPU", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return name


@pytest.fixture
def run_stage(tmp_path: Path):  # type: ignore[no-untyped-def]
    """run_stage(stage, options, {role: folder}, out=None, sources=[], workers=1) -> folder, through the engine."""
    from speechprep.pipelines.engine.beam.runner import Engine
    from speechprep.pipelines.engine.plan import Step
    from speechprep.pipelines.engine.run import Options, run_steps

    def run(stage, options=None, inputs=None, out=None, sources=(), workers=1, seed=0, rebuild=False):  # type: ignore[no-untyped-def]
        folder = str(out or tmp_path / stage.writes)
        step = Step(
            stage.name,
            stage,
            stage.configure(options or {}),
            seed,
            {role: str(path) for role, path in (inputs or {}).items()},
            folder,
            [str(s) for s in sources],
        )
        run_steps([step], Options(engine=Engine(workers=workers), max_reject_fraction=1.0, rebuild=rebuild))
        return Path(folder)

    return run
