"""Declarations of the model zoo: a `Model` record for each model, and an `Evaluation` record for each evaluation.

`speechprep train`, `eval`, `grid` and their help read these records. A model is its folder and one line in
`registry.py`; another package adds one through the entry-point group `speechprep.models`. No record imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from speechprep import registry
from speechprep.errors import ConfigError, MissingBackend
from speechprep.models.evaluation.score import Score
from speechprep.options import Options

if TYPE_CHECKING:
    from speechprep.models.training.options import TrainOptions
    from speechprep.models.training.run import TrainingJob

EXTRA = "train"


@dataclass(frozen=True)
class EvaluationResult:
    """Result of an evaluation.

    Attributes:
        scores: one score, or the scores of a table.
        columns, rows: head and rows of the printed table; empty to print the single score.
        records: output of the model as JSON records, for `--out`.
        json: value printed by `--json`; None prints the scores.
        notes: lines printed after the table: settings, seeds, warnings.
    """

    scores: list[Score]
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    json: Any = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of a trained model on a run: a command of `speechprep eval`.

    Attributes:
        name: name of the command.
        help: help text of the command.
        options: class of its options; each field becomes an option of the command.
        evaluate: "module:function" of (models, runs, options) -> EvaluationResult; `models` are trained folders.
        examples: command lines for the help.
        many_models: True if it compares several trained models.
        writes: True if the result has records for `--out`.
    """

    name: str
    help: str
    options: type[Options]
    evaluate: str
    examples: tuple[str, ...] = ()
    many_models: bool = False
    writes: bool = False

    def run(self, models: Sequence[str], runs: Sequence[str], options: Options) -> EvaluationResult:
        """Evaluate trained models on runs.

        Raises:
            MissingBackend: torch or transformers is not installed.
            SpeechprepError: any error of the evaluation.
        """
        require_torch(f"eval {self.name}")
        result: EvaluationResult = load(self.evaluate)(list(models), list(runs), options)
        return result


@dataclass(frozen=True)
class Model:
    """A model of the zoo.

    Attributes:
        name: argument of `speechprep train`.
        summary: one line for the help, starting with the name of the model.
        paper: arXiv number.
        options_class: "module:class" of its options, a subclass of `TrainOptions`.
        job: "module:function" of (runs, options) -> TrainingJob.
        evaluations: evaluations of a trained model.
        figures: "module:function" of (trained folder, runs, unseen=bool) -> {name of a figure: value}, for `grid`.
        examples: command lines for the help.
    """

    name: str
    summary: str
    paper: str
    options_class: str
    job: str
    evaluations: tuple[Evaluation, ...] = ()
    figures: str | None = None
    examples: tuple[str, ...] = ()

    @cached_property
    def options(self) -> type[TrainOptions]:
        """Class of the options, imported without torch."""
        options: type[TrainOptions] = load(self.options_class)
        return options

    def training_job(self, data: list[str], options: TrainOptions) -> TrainingJob:
        """The training job of this model on runs.

        Raises:
            MissingBackend: torch or transformers is not installed.
            SpeechprepError: unusable data or options.
        """
        require_torch(f"train {self.name}")
        job: TrainingJob = load(self.job)(data, options)
        return job


def load(target: str) -> Any:
    """The object behind "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def models() -> dict[str, Model]:
    """All models by name; models of other packages come last."""
    return {name: registry.resolve("models", name) for name in registry.names("models")}


def find_model(name: str) -> Model:
    """The record of a model.

    Raises:
        ConfigError: unknown name; the message lists the models.
    """
    model: Model = registry.resolve("models", name)
    return model


def evaluations() -> dict[str, Evaluation]:
    """All evaluations by name.

    Raises:
        ConfigError: two evaluations with the same name.
    """
    table: dict[str, Evaluation] = {}
    for model in models().values():
        for evaluation in model.evaluations:
            if table.setdefault(evaluation.name, evaluation) is not evaluation:
                raise ConfigError(f"two models have an evaluation {evaluation.name!r}; remove one of the packages")
    return table


def require_torch(user: str) -> None:
    """Check for torch and transformers.

    Args:
        user: the command, for the message.

    Raises:
        MissingBackend: a package is not installed; the message names the extra.
    """

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingBackend.package(user, package, EXTRA)
