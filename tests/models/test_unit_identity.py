"""Several runs train together if they have one vocabulary, one codebook and one frame grid; sizes prove nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import manifest_edits
from helpers.zoo_run import write_run

from speechprep.artifacts import manifest
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data import Reader, Source, VocabularyMetadata
from speechprep.models.data.unit_identity import UnitIdentity, check_same_units
from speechprep.models.sutlm.train import SutlmOptions, locate, training_job, vocabulary_of

GRID = {"sample_rate": 16_000, "stride": 160, "window": 400, "padded": False}


def changed(folder: Path, **extra) -> None:
    """Replace entries of `extra` in the manifest of a folder; None removes one."""
    path = folder / manifest.NAME
    body = json.loads(path.read_text())
    body["extra"] |= extra
    body["extra"] = {name: value for name, value in body["extra"].items() if value is not None}
    manifest_edits.write(path, body)


@pytest.fixture
def two(tmp_path) -> list[str]:
    """Two runs with one vocabulary; the second one has no `subword` folder."""
    runs = [write_run(tmp_path / name, count=8, seed=i, prefix=name) for i, name in enumerate(("a", "b"))]
    shutil.rmtree(runs[1] / "subword")
    return [str(run) for run in runs]


def test_a_run_with_the_vocabulary_of_another_run_needs_no_subword_folder(two):
    for runs in (two, two[::-1]):
        assert vocabulary_of([locate(run) for run in runs]) == f"{two[0]}/subword"
    assert vocabulary_of([locate(two[1])], f"{two[0]}/subword") == f"{two[0]}/subword"
    with pytest.raises(StaleArtifact, match=r"no subword folder of vocabulary .*set vocabulary"):
        vocabulary_of([locate(two[1])])
    changed(Path(two[1]) / "tokens", vocabulary="f" * 64)
    with pytest.raises(StaleArtifact, match=r"b/tokens has rows of vocabulary ffffffffffff, .*a/tokens of"):
        vocabulary_of([locate(run) for run in two])


@pytest.mark.reference
def test_two_runs_train_together(two):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    options = SutlmOptions.of({"size": "tiny", "context": 512, "rows": 2, "data": "speech"})
    job = training_job(two[::-1], options)
    batches = iter(job.batches(0, 1))
    seen = {row.tolist()[1] for _ in range(8) for row in next(batches)["input_ids"]}
    assert len(seen) > 2
    assert job.model().config.codebook


@pytest.mark.parametrize(
    ("extra", "told"),
    [({"codebook": "another"}, "codebook .*another"), ({"grid": GRID}, "frame grid .*'stride': 160")],
    ids=["codebook", "grid"],
)
def test_units_of_another_codebook_or_frame_grid_of_equal_size_are_refused(two, extra, told):
    folders = [locate(run) for run in two]
    assert check_same_units(folders).codebook == UnitIdentity.of(folders[0]).codebook != ""
    changed(Path(two[1]) / "tokens", **extra)
    with pytest.raises(StaleArtifact, match=f"the units of .*a/tokens have .*{told}"):
        check_same_units(folders)
    vocabulary = VocabularyMetadata.load(f"{two[0]}/subword")
    with pytest.raises(StaleArtifact, match=told):
        Reader([Source(folder) for folder in folders], 64, vocabulary=vocabulary)


def test_rows_of_earlier_versions_have_the_codebook_of_the_units_beside_them(two):
    folder = Path(two[1]) / "tokens"
    changed(folder, codebook=None)
    changed(Path(two[1]) / "units", codebook="another")
    with pytest.raises(StaleArtifact, match="another"):
        check_same_units([locate(run) for run in two])
    shutil.rmtree(Path(two[1]) / "units")
    check_same_units([locate(run) for run in two])  # unknown


@pytest.mark.reference
def test_rows_are_drawn_anew_in_each_epoch_of_a_training_on_two_runs(two, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    from speechprep.models.training.run import train

    settings = {"size": "tiny", "context": 512, "rows": 2, "rendering": "epoch", "steps": 3, "validation": 0.2}
    settings |= {"interleave": {"text_words": "fixed:1", "speech_words": "fixed:2"}, "validate_every": 3}
    options = SutlmOptions.of(settings)
    assert train(training_job(two, options), options, tmp_path / "model", quiet=True)
    plan = json.loads((tmp_path / "model" / "train.json").read_text())
    assert len(plan["words"]) == len(plan["data"]) == 2
    assert (tmp_path / "model" / "subword").is_dir()
    with pytest.raises(ConfigError, match="no option 'sped'"):
        training_job(two, SutlmOptions.of({**settings, "interleave": {"sped": 1}}))
