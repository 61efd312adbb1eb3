"""A chain of toy stages, and running it through the engine."""

from __future__ import annotations

from pathlib import Path

from helpers import toy_stages as toy

from speechprep.pipelines.engine.beam.runner import Engine
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps


def chain(out: Path, *, double=toy.DOUBLE, count=None, options=None) -> list[Step]:
    numbers, doubles, total, groups = (str(out / n) for n in ("numbers", "doubles", "total", "groups"))
    return [
        Step("count", toy.COUNT, toy.COUNT.configure(count or {}), 0, {}, numbers, ["nowhere"]),
        Step("double", double, double.configure(options or {}), 0, {"numbers": numbers}, doubles),
        Step("sum", toy.SUM, toy.SUM.configure({}), 0, {"doubles": doubles}, total),
        Step("regroup", toy.REGROUP, toy.REGROUP.configure({}), 0, {"doubles": doubles}, groups),
    ]


def run(steps: list[Step], workers: int = 1, **options) -> list:
    return run_steps(steps, Options(engine=Engine(workers=workers), **{"max_reject_fraction": 1.0, **options}))
