"""BLEU against sacrebleu's own corpus call."""

from __future__ import annotations

import json
import sys

import pytest

from speechprep.errors import BadInput, MissingBackend
from speechprep.models.evaluation.bleu import bleu
from speechprep.models.evaluation.bootstrap import Bootstrap


@pytest.fixture
def cases(shared_data):
    path = shared_data / "audiocaps-captions" / "caption_metrics_cases.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()][:120]
    return {r["id"]: r["references"] for r in rows}, {r["id"]: r["candidate"] for r in rows}


@pytest.mark.reference
@pytest.mark.parametrize("lowercase", [False, True])
def test_it_is_sacrebleu_with_its_signature(cases, lowercase):
    metrics = pytest.importorskip("sacrebleu.metrics")
    right, said = cases
    ids = list(right)
    metric = metrics.BLEU(lowercase=lowercase)
    theirs = metric.corpus_score([said[id] for id in ids], [[right[id][k] for id in ids] for k in range(4)])
    found = bleu(right, said, lowercase=lowercase, bootstrap=Bootstrap(100))
    assert found.score == pytest.approx(theirs.score, rel=1e-12)
    assert found.how["signature"] == str(metric.get_signature())
    assert "tok:13a" in found.how["signature"]
    assert found.interval.low < found.score < found.interval.high


@pytest.mark.reference
def test_the_interval_is_of_the_same_score():
    pytest.importorskip("sacrebleu")
    right, said = "it rains in the city today and tomorrow", "in the city it snows today and never rains"
    found = bleu({id: [right] for id in "abc"}, dict.fromkeys("abc", said), bootstrap=Bootstrap(10))
    assert found.others["precision_4"] < 10  # by smoothing alone
    assert found.interval.low == found.interval.high == pytest.approx(found.score, rel=1e-12)


@pytest.mark.reference
def test_ids_may_have_different_numbers_of_references():
    pytest.importorskip("sacrebleu")
    right = {"a": ["the cat sat on the mat", "a cat sat on a mat"], "b": ["it rains in the city today"]}
    said = {"a": "a cat sat on a mat", "b": "it rains in the city today"}
    assert bleu(right, said).score == pytest.approx(100)
    with pytest.raises(BadInput, match="'b' has an empty list"):
        bleu(right | {"b": []}, said)
    with pytest.raises(BadInput, match="'b' has a reference and no hypothesis"):
        bleu(right, {"a": "x"})


def test_without_sacrebleu_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(MissingBackend, match=r"needs the package 'sacrebleu'.*speechprep\[train\]"):
        bleu({"a": ["x"]}, {"a": "x"})
