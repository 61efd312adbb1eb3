"""Scorer `acme-exact`: share of texts that are right to the letter."""

from __future__ import annotations

from speechprep.models.evaluation.benchmark import Benchmark
from speechprep.models.evaluation.score import Score, paired


def exact(references, hypotheses, *, bootstrap=None) -> Score:
    """Share of equal texts."""
    ids = paired(references, hypotheses)
    right = sum(references[id] == hypotheses[id] for id in ids)
    return Score("exact", right / len(ids), counts={"utterances": len(ids), "right": right})


EXACT = Benchmark(name="acme-exact", help="Share of texts that are right to the letter.", score=exact)
