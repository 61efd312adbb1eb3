"""A small run folder, made without audio: what the models are trained on and asked about."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.zoo_run import write_run

from speechprep.tokenizers.subword.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("zoo") / "run")


@pytest.fixture(scope="session")
def vocab(run: Path) -> Vocabulary:
    return Vocabulary.load(run / "subword")
