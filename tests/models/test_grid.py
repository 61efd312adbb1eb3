"""Grids: every combination once, checked before the first is trained, means over seeds in the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from speechprep.errors import ConfigError
from speechprep.models.grid import Grid, cells, run, table

SHIPPED = Path(__file__).parents[2] / "speechprep" / "recipes" / "grids"
BODY = {
    "model": "dmlm",
    "runs": "run",
    "options": {"size": "tiny", "steps": 3},
    "axes": {
        "codes": {"a": {}, "b": {"runs": "other"}},
        "loss": {"trimodal": {"loss": "trimodal"}, "plain": {"loss": "plain"}},
    },
    "seeds": [0, 1],
    "evaluate": {"held out": "unseen"},
}


def test_every_combination_is_there_once_with_its_runs_and_options():
    found = cells(Grid.of(BODY))
    assert len({cell.name for cell in found}) == len(found) == 8
    last = found[-1]
    assert (last.name, last.runs) == ("b-plain-seed1", ["other"])
    assert last.options == {"size": "tiny", "steps": 3, "loss": "plain", "seed": 1}
    assert found[0].runs == ["run"]


def test_the_older_key_ask_is_read_as_evaluate():
    older = {key: value for key, value in BODY.items() if key != "evaluate"}
    assert Grid.of({**older, "ask": BODY["evaluate"]}) == Grid.of(BODY)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda p: p.name)
def test_the_grids_that_come_along_are_valid(path):
    assert len(cells(Grid.of(yaml.safe_load(path.read_text())))) >= 8


def test_the_table_has_mean_and_spread_over_the_seeds():
    grid = Grid.of(BODY)
    figures = [(cell, {"held out WER": 0.1 + 0.02 * cell.seed}) for cell in cells(grid) if cell.values[0] == "a"]
    lines = table(grid, figures).splitlines()
    assert lines[0] == "| codes | loss | held out WER | seeds |"
    assert lines[2] == "| a | trimodal | 11.0 ± 1.4 % | 2 |"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "gpt"}, "'gpt'"),
        ({"axes": {}}, "axes"),
        ({"speed": 3}, "speed"),
        ({"options": {"stepz": 3}}, "'stepz'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_is_trained(change, told):
    with pytest.raises(ConfigError, match=told):
        cells(Grid.of({**BODY, **change}))


@pytest.mark.reference
def test_a_grid_is_trained_asked_and_not_done_twice(run_grid):
    grid, out, lines = run_grid
    assert len(lines) == 2
    answers = [json.loads((out / cell.name / "answers.json").read_text()) for cell in cells(grid)]
    assert all(found["figures"]["held out WER"] >= 0 for found in answers)
    before = [(out / cell.name / "model.safetensors").stat().st_mtime_ns for cell in cells(grid)]
    again = run(grid, str(out), lambda line: None)
    assert [figures for _, figures in again] == [found["figures"] for found in answers]
    assert before == [(out / cell.name / "model.safetensors").stat().st_mtime_ns for cell in cells(grid)]


@pytest.fixture
def run_grid(request, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    options = {"size": "tiny", "context": 192, "dedup": True, "long": "drop", "steps": 2, "validation": 0.2}
    options["shares"] = {"asr": 1}
    axes = {"loss": BODY["axes"]["loss"]}
    body = {**BODY, "runs": str(request.getfixturevalue("run")), "options": options, "axes": axes, "seeds": [0]}
    grid, lines = Grid.of(body), []
    run(grid, str(tmp_path), lines.append)
    return grid, tmp_path, lines
