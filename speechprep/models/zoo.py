"""The model zoo as data: one `Model` record for each model, one `Question` for each way to evaluate a trained one.

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
class Answer:
    """Result of a question.

    Attributes:
        scores: one, or several of one table.
        columns, rows: the table for people; empty: the one score is printed as it is.
        records: what the model wrote, for `--out`.
        json: for `--json`; None: the scores.
    """

    scores: list[Score]
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    json: Any = None


@dataclass(frozen=True)
class Question:
    """An evaluation of a trained model on a run: a command of `speechprep eval`.

    Attributes:
        name: of the command.
        help: text of the command's help.
        options: class of its options; each field becomes an option of the command.
        ask: "module:function" of (models, runs, options) -> Answer; `models` are folders of trained models.
        examples: command lines for the help.
        many_models: True if several trained models are compared.
        writes: True if the answer has records for `--out`.
    """

    name: str
    help: str
    options: type[Options]
    ask: str
    examples: tuple[str, ...] = ()
    many_models: bool = False
    writes: bool = False

    def answer(self, models: Sequence[str], runs: Sequence[str], options: Options) -> Answer:
        """Ask trained models.

        Raises:
            MissingBackend: torch or transformers is not installed.
            SpeechprepError: as of the question.
        """
        require_torch(f"eval {self.name}")
        answer: Answer = load(self.ask)(list(models), list(runs), options)
        return answer


@dataclass(frozen=True)
class Model:
    """A model of the zoo.

    Attributes:
        name: argument of `speechprep train`.
        summary: one line for help.
        paper: arXiv number.
        options_class: "module:class" of its options, a subclass of `TrainOptions`.
        job: "module:function" of (runs, options) -> TrainingJob.
        questions: ways to evaluate a trained model.
        figures: "module:function" of (trained model, runs, unseen=bool) -> {figure: value}, for `grid`.
        examples: command lines for the help.
    """

    name: str
    summary: str
    paper: str
    options_class: str
    job: str
    questions: tuple[Question, ...] = ()
    figures: str | None = None
    examples: tuple[str, ...] = ()

    @cached_property
    def options(self) -> type[TrainOptions]:
        """Class of the options; needs no torch."""
        options: type[TrainOptions] = load(self.options_class)
        return options

    def training_job(self, data: list[str], options: TrainOptions) -> TrainingJob:
        """What the training loop needs.

        Raises:
            MissingBackend: torch or transformers is not installed.
            SpeechprepError: data or options that cannot be trained on.
        """
        require_torch(f"train {self.name}")
        job: TrainingJob = load(self.job)(data, options)
        return job


def load(target: str) -> Any:
    """The object behind "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def models() -> dict[str, Model]:
    """All models by name, those of other packages last."""
    return {name: registry.resolve("models", name) for name in registry.names("models")}


def find_model(name: str) -> Model:
    """The record of a model.

    Raises:
        ConfigError: unknown name; the message lists the models.
    """
    model: Model = registry.resolve("models", name)
    return model


def questions() -> dict[str, Question]:
    """All questions by name.

    Raises:
        ConfigError: two questions of one name.
    """
    table: dict[str, Question] = {}
    for model in models().values():
        for question in model.questions:
            if table.setdefault(question.name, question) is not question:
                raise ConfigError(f"two models have a question named {question.name!r}; remove one of the packages")
    return table


def require_torch(user: str) -> None:
    """Refuse to go on without the packages of the models.

    Raises:
        MissingBackend: naming the extra.
    """
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingBackend.package(user, package, EXTRA)
