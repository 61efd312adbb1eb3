"""Scorers of texts against references, joined by id, and evaluations of trained models. Scorers need no torch."""

from speechprep.models.evaluation.benchmark import scorer

__all__ = ["scorer"]
