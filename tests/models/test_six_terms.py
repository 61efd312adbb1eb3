"""Six loss terms of tokens and of items, one of them contrastive: one process and two ranks train the same."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

pytestmark = pytest.mark.reference
SCRIPT = Path(__file__).with_name("six_terms.py")
TERMS = ("mlm", "mlm_joint", "matching", "label", "contrastive", "distillation")
FIGURES = ("loss", *TERMS, "tokens", "items")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Metrics and gradients of the training in this process."""
    spec = importlib.util.spec_from_file_location("six_terms", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = tmp_path_factory.mktemp("one")
    gradients = module.fit(out / "model")
    return module, metrics(out / "model"), gradients


def metrics(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in FIGURES} for row in rows]


def test_the_loss_is_the_formula_and_each_term_has_its_own_count(one):
    module, rows, gradients = one
    assert len(rows) == len(gradients) == 3
    data = {name: values[:8] for name, values in module.items().items()}
    tokens = [int((data[name] != module.IGNORE).sum()) for name in ("labels", "joint_labels")]
    labelled = int((data["label"] != module.IGNORE).sum())
    assert (rows[0]["tokens"], rows[0]["items"]) == (sum(tokens), 8 + labelled + 8 + 8)
    text = (rows[0]["mlm"] * tokens[0] + rows[0]["mlm_joint"] * tokens[1]) / sum(tokens)
    others = {"matching": 0.5, "label": 0.7, "contrastive": 2.0, "distillation": 0.3}
    loss = text + sum(weight * rows[0][name] for name, weight in others.items())
    assert rows[0]["loss"] == pytest.approx(loss, abs=1e-4)


def test_two_ranks_with_unequal_items_have_the_losses_and_gradients_of_one_process(one, tmp_path):
    _, rows, gradients = one
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, str(SCRIPT), str(tmp_path)]
    ranks = [subprocess.Popen(command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]
    assert [rank.wait(timeout=240) for rank in ranks] == [0, 0]
    for single, both in zip(rows, metrics(tmp_path / "model"), strict=True):
        assert both == pytest.approx(single, abs=2e-4)
    for rank in range(2):
        for single, both in zip(gradients, torch.load(tmp_path / f"gradients{rank}.pt"), strict=True):
            assert single.keys() == both.keys()
            assert all(torch.allclose(single[name], both[name], atol=1e-5) for name in single)
