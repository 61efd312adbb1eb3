"""The examples run on a dataset of the declared schema and show what they promise."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from speechprep.artifacts.schemas import PACKED

pytestmark = pytest.mark.reference
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "train_on_packed.py"
VOCABULARY = 60


@pytest.fixture(scope="module")
def example() -> ModuleType:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    spec = importlib.util.spec_from_file_location("train_on_packed", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Two shards of rows of 64: documents of text (ids 16..29) then units (30..59) that count up, last six padded."""
    rng = np.random.default_rng(7)
    for shard in range(2):
        rows = []
        for _ in range(6):
            parts = [
                np.r_[1, 16 + (rng.integers(14) + np.arange(9)) % 14, 30 + (rng.integers(30) + np.arange(19)) % 30]
                for _ in range(2)
            ]
            ids = np.concatenate([*parts, np.zeros(6, int)])
            documents = np.repeat([0, 1, -1], [29, 29, 6])
            modality = np.where(ids >= 30, 2, np.where(ids >= 16, 1, 0))
            rows.append(
                {"input_ids": ids, "document_ids": documents, "modality_ids": modality, "ids": ["a#ast", "b#ast"]}
            )
        folder = tmp_path / "packed"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=PACKED), folder / f"part-{shard:05d}-of-00002.parquet")
    vocabulary = tmp_path / "subword"
    vocabulary.mkdir()
    (vocabulary / "vocab.json").write_text(json.dumps({"size": VOCABULARY}))
    return folder


def test_the_loss_starts_at_guessing_and_falls_for_text_and_for_units(example: ModuleType, packed: Path) -> None:
    history = example.train(example.load(packed), VOCABULARY, steps=60)
    assert history[0].loss == pytest.approx(math.log(VOCABULARY), rel=0.1)
    for modality in ("text", "unit"):
        assert history[-1].by_modality[modality] < 0.5 * history[0].by_modality[modality]
    assert np.mean([step.loss for step in history[-5:]]) < 0.5 * history[0].loss


def test_a_document_sees_nothing_of_its_neighbour_in_the_row(example: ModuleType, packed: Path) -> None:
    import torch

    torch.manual_seed(0)
    config = example.GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=2)
    model = example.GPT2LMHeadModel(config).eval()
    row = {name: column[:1] for name, column in example.load(packed).items()}
    losses, _ = example.token_losses(model, row)
    alone = {name: column[:, 29:58] for name, column in row.items()}
    losses_alone, _ = example.token_losses(model, alone)
    assert len(losses) == 2 * 28  # neither the first token of a document nor padding is predicted
    torch.testing.assert_close(losses[28:], losses_alone)


def test_positions_count_from_the_start_of_each_document(example: ModuleType) -> None:
    import torch

    documents = torch.tensor([[0, 0, 0, 1, 1, -1, -1], [0, 1, 2, 2, 2, 2, 2]])
    assert example.positions(documents).tolist() == [[0, 1, 2, 0, 1, 0, 1], [0, 0, 0, 1, 2, 3, 4]]


def test_the_command_line_reads_the_shards_and_prints_the_fall(
    example: ModuleType, packed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train_on_packed.py", "--data", str(packed), "--steps", "3"])
    example.main()
    printed = capsys.readouterr().out
    assert "12 rows of 64 tokens, vocabulary of 60" in printed
    assert "step    1  loss" in printed
