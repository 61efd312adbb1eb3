"""The record, the log and the report of a run, also of one that ends early."""

from __future__ import annotations

import pytest
from helpers import toy_stages as toy

from speechprep.errors import TooManyRejects
from speechprep.pipelines.driver import session
from speechprep.pipelines.driver.record import read_record
from speechprep.pipelines.engine.plan import Step
from speechprep.pipelines.engine.recipe import Recipe, RecipeStep
from speechprep.pipelines.engine.run import Options

RECIPE = Recipe(name="toys", steps=[RecipeStep(stage="count")])


def steps(out, **options) -> list[Step]:
    return [Step("count", toy.COUNT, toy.COUNT.configure(options), 0, {}, str(out / "numbers"), ["nowhere"])]


def test_the_log_has_a_dated_line_for_each_event_and_grows_with_each_run(tmp_path):
    session.run_recipe(RECIPE, steps(tmp_path), str(tmp_path), Options())
    first = (tmp_path / "run.log").read_text()
    assert [line.split(" ", 1)[1].split(":")[0] for line in first.splitlines()][:2] == [
        "recipe toys, seed 0, 1 workers",
        "count",
    ]
    assert first.splitlines()[-1].split(" ", 1)[1].startswith("done in")
    session.run_recipe(RECIPE, steps(tmp_path), str(tmp_path), Options(rebuild=True))
    assert (tmp_path / "run.log").read_text() == first
    session.run_recipe(RECIPE, steps(tmp_path, upto=8), str(tmp_path), Options(rebuild=True))
    assert (tmp_path / "run.log").read_text().startswith(first)
    assert len((tmp_path / "run.log").read_text()) > len(first)


def test_too_many_rejects_leave_a_record_a_traceback_and_a_report(tmp_path):
    with pytest.raises(TooManyRejects):
        session.run_recipe(RECIPE, steps(tmp_path, bad=2), str(tmp_path), Options())
    assert read_record(str(tmp_path))["error"]["type"] == "TooManyRejects"
    assert "TooManyRejects" in (tmp_path / "run.log").read_text()
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_a_finished_run_writes_nothing_when_it_is_run_again(tmp_path):
    session.run_recipe(RECIPE, steps(tmp_path), str(tmp_path), Options())
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    session.run_recipe(RECIPE, steps(tmp_path), str(tmp_path), Options())
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == {
        p: t for p, t in before.items() if p.is_file()
    }
