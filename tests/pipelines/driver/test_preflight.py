"""The preflight names each step with an absent package, an absent model or a bad option, before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from speechprep.pipelines.backends import base
from speechprep.pipelines.driver.preflight import preflight
from speechprep.pipelines.engine import recipe as recipes
from speechprep.pipelines.engine.recipe import Recipe, RecipeStep


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Packages that count as absent; all others count as installed."""
    packages: set[str] = set()
    monkeypatch.setattr(base, "installed", lambda package: package not in packages)
    return packages


def problems(out: Path, *steps: tuple[str, dict[str, Any]]) -> list[str]:
    body = Recipe(name="test", steps=[RecipeStep(stage=stage, options=options) for stage, options in steps])
    return preflight(recipes.build(body, ["nowhere"], str(out)))


def test_the_shipped_recipes_have_no_problem(tmp_path: Path) -> None:
    for name in ("demo", "speech"):
        assert preflight(recipes.build(recipes.load(name), ["nowhere"], str(tmp_path))) == []


def test_a_model_that_is_absent_is_named_once_for_the_sample_and_the_units(tmp_path: Path, absent: set[str]) -> None:
    hubert = {"backend": "hubert", "options": {"model": str(tmp_path / "hubert-base"), "layer": 9}}
    assert absent == set()
    (line,) = problems(tmp_path / "run", ("ingest", {}), ("sample", hubert), ("cluster", {}), ("units", {}))
    assert line.startswith(f"step sample, units: there is no folder {tmp_path}/hubert-base")


def test_options_that_are_missing_are_named(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, ("ingest", {}), ("pool", {"backend": "hubert"}))
    assert line == "step pool: extractor 'hubert' needs a value for model and layer; set it in its options"


def test_a_package_that_is_absent_is_named_with_its_extra(tmp_path: Path, absent: set[str]) -> None:
    absent.add("faster_whisper")
    options = {"backend": "whisperx", "options": {"whisper": "small"}}
    (line,) = problems(tmp_path, ("ingest", {}), ("align", options))
    assert line == (
        "step align: aligner 'whisperx' needs the package 'faster_whisper'; "
        "install it with: pip install 'speechprep[whisperx]'"
    )


def test_an_unknown_option_of_an_embedder_is_named_with_its_value_and_the_options_there_are(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, ("ingest", {}), ("index", {"options": {"dims": 300}}))
    assert line == "step index: embedder 'caption' has no option 'dims' (= 300); its options: dim"


def test_a_model_of_another_kind_and_a_layer_that_it_lacks_are_found_in_its_configuration(
    tmp_path: Path, absent: set[str]
) -> None:
    assert absent == set()
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    (folder / "preprocessor_config.json").write_text("{}")
    steps = [("ingest", {}), ("pool", {"backend": "hubert", "options": {"model": str(folder), "layer": 13}})]
    (folder / "config.json").write_text('{"model_type": "bert"}')
    assert "holds a model of type 'bert'" in problems(tmp_path / "run", *steps)[0]
    (folder / "config.json").write_text('{"model_type": "hubert"}')
    assert "layer = 13, but the model has 12 layers" in problems(tmp_path / "run", *steps)[0]
    steps[1][1]["options"]["layer"] = 12
    assert problems(tmp_path / "run", *steps) == []
    steps[1][1]["options"]["device"] = "gpu"
    assert "device = 'gpu'; choose 'auto'" in problems(tmp_path / "run", *steps)[0]


def test_the_units_of_a_codebook_from_outside_wait_for_it(tmp_path: Path) -> None:
    steps = (("ingest", {}), ("import_codebook", {"file": "centroids.npy", "backend": "mfcc"}), ("units", {}))
    assert problems(tmp_path, *steps) == []


def test_nothing_heavy_is_imported(tmp_path: Path, absent: set[str]) -> None:
    assert absent == set()
    before = set(sys.modules)
    problems(tmp_path, ("ingest", {}), ("align", {"backend": "ctc", "options": {"model": "WAV2VEC2_ASR_BASE_960H"}}))
    assert not {"torch", "torchaudio", "transformers"} & (set(sys.modules) - before)
