"""The positive control of CRA in a small form: one seed of AST and of shuffled pairs, 2,000 updates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from speechprep.models.evaluation.retrieval.significance import holm, permutation_p

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def control(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import cra_control

    return cra_control


def test_the_permutation_test_finds_hits_and_no_context_that_always_wins():
    n = 30
    right = np.tile(np.arange(n)[:, None], (1, 3))
    assert permutation_p(right) == pytest.approx(1 / 20_001)
    assert permutation_p(np.full((n, 3), 7)) == 1.0  # one context wins always: one hit under every permutation
    random = np.random.default_rng(0)
    chance = [permutation_p(random.integers(0, n, (n, 1)), samples=400, seed=i) for i in range(60)]
    assert sum(p <= 0.05 for p in chance) <= 8
    repeated = np.tile(random.permutation(n)[:, None], (1, 50))  # repeats that resemble each other are one
    assert permutation_p(repeated) > 0.1


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_oracles_of_the_control_are_worked_by_hand(control):
    values = control.oracles()
    assert values["chance"] == values["corpus, speaker or lengths"] == pytest.approx(100 / 30)
    steps = [step for _, step in control.TEST]
    assert values["cra: step only"] == pytest.approx(100 * np.mean([1 / steps.count(step) for step in steps]))
    assert not set(control.TEST) & set(control.TRAIN)


@pytest.mark.slow
@pytest.mark.reference
def test_a_model_of_alternating_rows_retrieves_and_a_model_of_shuffled_pairs_does_not(control):
    found = {}
    for arm in ("ast", "shuffled"):
        with control.fixed_threads(1):
            model, _ = control.train(arm, 0, 2000)
            found[arm] = control.winners(model)
    p = []
    for cell in ("u2t AST join", "t2u AST join"):
        ast, shuffled = (control.share(found[arm][cell]["renormalised"]) for arm in ("ast", "shuffled"))
        assert ast >= 85
        assert ast - shuffled >= 60
        p.append(permutation_p(np.array(found["shuffled"][cell]["renormalised"]).T))
    assert min(holm(p)) > 0.05
