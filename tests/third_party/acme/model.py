"""Declaration of the model `acme-bigram`, without torch."""

from __future__ import annotations

from pydantic import Field

from speechprep.models.training.options import TrainOptions
from speechprep.models.zoo import Evaluation, EvaluationResult, Model
from speechprep.options import Options


class BigramOptions(TrainOptions):
    """Options of `train acme-bigram`."""

    width: int = Field(8, ge=1, description="width of the embedding")


class CountOptions(Options):
    """Options of `acme-count`."""

    least: int = Field(1, ge=1, description="Count only rows with at least N tokens.")


def evaluate(models, runs, options):
    """Number of rows of the runs with at least `least` tokens."""
    from speechprep.artifacts.run import open_run
    from speechprep.models.evaluation.score import Score

    lengths = [len(row["input_ids"]) for run in runs for row in open_run(run)["tokens"].records(["input_ids"])]
    return EvaluationResult([Score("rows", float(sum(n >= options.least for n in lengths)), scale="points")])


def training_job(data, options):
    """A model that predicts a token from the one before it, over the token rows of runs."""
    from acme.bigram import job

    return job(data, options)


BIGRAM = Model(
    name="acme-bigram",
    summary="a bigram model of acme",
    paper="0000.00000",
    options_class="acme.model:BigramOptions",
    job="acme.model:training_job",
    evaluations=(Evaluation("acme-count", "Count token rows.", CountOptions, "acme.model:evaluate"),),
)
