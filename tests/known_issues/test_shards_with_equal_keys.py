"""Shards of equal content have equal keys: a second run named each of them several times in the manifest."""

from __future__ import annotations

from helpers import toy_stages as toy

from speechprep.artifacts import manifest
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.run import Options, run_steps


def test_a_second_run_over_empty_shards_has_nothing_to_do(tmp_path):
    numbers, doubles = str(tmp_path / "numbers"), str(tmp_path / "doubles")
    steps = [
        Step("count", toy.COUNT, toy.COUNT.configure({"upto": 3, "shards": 6}), 0, {}, numbers, ["nowhere"]),
        Step("double", toy.DOUBLE, toy.DOUBLE.configure({}), 0, {"numbers": numbers}, doubles),
    ]
    assert [r.tasks_run for r in run_steps(steps, Options())] == [6, 6]
    before = manifest.read(numbers)
    assert len({shard.key for shard in before.shards}) == 4, "three shards are empty"
    assert [r.tasks_run for r in run_steps(steps, Options())] == [0, 0]
    assert manifest.read(numbers) == before
    (tmp_path / "doubles/part-00005-of-00006.parquet").unlink()
    assert [r.tasks_run for r in run_steps(steps, Options())] == [0, 1]
    assert [s.name for s in manifest.read(doubles).shards] == [f"part-{i:05d}-of-00006.parquet" for i in range(6)]
