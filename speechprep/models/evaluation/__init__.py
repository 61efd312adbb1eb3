"""Scorers: references and hypotheses, keyed by id, into a `Score`. They need no model and, most of them, only NumPy."""

from speechprep.models.evaluation.benchmark import scorer

__all__ = ["scorer"]
