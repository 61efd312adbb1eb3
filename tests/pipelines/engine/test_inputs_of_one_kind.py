"""Two inputs of one kind are refused; a dataset folder named by itself comes before those in run folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.zoo_run import write_run

from speechprep.errors import ConfigError
from speechprep.pipelines.engine.recipe import single
from speechprep.pipelines.engine.stage import find_stage


@pytest.fixture
def two(tmp_path) -> list[str]:
    return [str(write_run(tmp_path / name, count=2, prefix=name)) for name in ("a", "b")]


def inputs(sources: list[str]) -> dict[str, str]:
    (step,) = single(find_stage("interleave"), {}, 0, sources, "out/tokens")
    return step.inputs


@pytest.mark.parametrize("kinds", [("", ""), ("/units", "/units")], ids=["run folders", "dataset folders"])
def test_two_inputs_of_one_kind_are_refused_by_name(two, kinds):
    sources = [run + kind for run, kind in zip(two, kinds, strict=True)]
    rest = [] if not kinds[0] else [f"{two[0]}/subword"]
    with pytest.raises(ConfigError, match=r"interleave reads one folder of '(words|units)', .*a/.* and .*b/"):
        inputs([*sources, *rest])


def test_a_folder_named_by_itself_comes_before_those_in_run_folders(two):
    assert inputs([two[0], f"{two[1]}/subword"]) == {
        "words": f"{two[0]}/words", "units": f"{two[0]}/units", "subword": f"{two[1]}/subword",
    }  # fmt: skip


def test_the_same_folder_twice_is_one_folder(two, monkeypatch):
    monkeypatch.chdir(Path(two[0]).parent)
    assert inputs([two[0], "a"])["units"] == f"{two[0]}/units"
