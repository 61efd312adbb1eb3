"""The demo recipe over a corpus, through the engine."""

from __future__ import annotations

from pathlib import Path

from speechprep.pipelines.engine import recipe
from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.run import Options, run_steps


def run(source: Path, out: Path, *settings: str, workers: int = 2) -> Path:
    steps = recipe.build(recipe.load("demo").with_options(list(settings)), [str(source)], str(out))
    run_steps(steps, Options(engine=Engine(workers=workers), max_reject_fraction=1.0))
    return out
