"""`interleave` took a vocabulary of another codebook when k was equal, and training mixed two codebooks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import manifest_edits

import speechprep
from speechprep.demo import corpus_path
from speechprep.errors import StaleArtifact

SMALL = {"cluster": {"k": 20}, "subword": {"unit_vocab_size": 60, "text_vocab_size": 290}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """Two runs over the same five utterances, with codebooks of another seed and equal k."""
    folder = tmp_path_factory.mktemp("runs")
    lines = [
        line for line in (corpus_path() / "manifest.jsonl").read_text().splitlines() if json.loads(line).get("text")
    ]
    (folder / "corpus").mkdir()
    (folder / "corpus" / "manifest.jsonl").write_text("\n".join(lines[:5]) + "\n")
    (folder / "corpus" / "speech").symlink_to(corpus_path() / "speech")
    for seed in (0, 1):
        speechprep.run("demo", inputs=folder / "corpus", out=folder / f"run{seed}", options=SMALL, seed=seed, workers=1)
    return folder / "run0", folder / "run1"


def test_a_vocabulary_of_another_codebook_is_refused_by_name(runs, tmp_path):
    inputs = [runs[0] / "words", runs[0] / "units", runs[1] / "subword"]
    with pytest.raises(StaleArtifact, match=r"was made from units of codebook .* the units are of"):
        speechprep.stage("interleave", inputs=inputs, out=tmp_path / "tokens")


def test_a_vocabulary_without_the_name_of_its_codebook_still_works(runs, tmp_path):
    shutil.copytree(runs[1], tmp_path / "run")
    path = tmp_path / "run" / "subword" / "_manifest.json"
    body = json.loads(path.read_text())
    assert body["extra"].pop("codebook")
    manifest_edits.write(path, body)
    inputs = [runs[0] / "words", runs[0] / "units", tmp_path / "run" / "subword"]
    assert speechprep.stage("interleave", inputs=inputs, out=tmp_path / "tokens").results[-1].rows > 5


def test_training_on_units_of_two_codebooks_is_refused_by_name(runs, tmp_path):
    from speechprep.models.data.unit_identity import check_same_units

    shutil.copytree(runs[1], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "subword")
    shutil.copytree(runs[0] / "subword", tmp_path / "run" / "subword")
    with pytest.raises(StaleArtifact, match=r"have codebook .*, the units of"):
        check_same_units([str(runs[0] / "units"), str(tmp_path / "run" / "units")])
    check_same_units([str(runs[0] / "units")] * 2)
