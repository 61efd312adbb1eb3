"""`speechprep eval`: one command for each benchmark, each evaluation of a run and each evaluation of a trained model.

The commands of benchmarks and models are built from their declarations.
"""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from speechprep import registry
from speechprep.cli import options as opt
from speechprep.cli.zoo.build import command, examples, parameters
from speechprep.cli.zoo.scores import print_result, print_score, write_lines

if TYPE_CHECKING:
    from speechprep.models.evaluation.benchmark import Benchmark
    from speechprep.models.zoo import Evaluation

EXAMPLES = """\b
Examples:
  speechprep eval wer --references dev.jsonl --hypotheses decoded.jsonl
  speechprep eval wer --references dev.tsv --hypotheses decoded.tsv --normalise whisper --speaker-column speaker
  speechprep eval captions --references captions.csv --hypotheses generated.jsonl --json
  speechprep eval slue-ner --references slue-voxpopuli_dev.tsv --hypotheses tagged.jsonl
  speechprep eval alignment run --reference textgrids
  speechprep eval abx run --phones phones.csv

Files are .jsonl, .tsv, .csv or sclite's .trn. Rows are joined by id: an id on one side only is an error."""
OF_RUNS = {
    "alignment": "speechprep.cli.zoo.alignment",
    "abx": "speechprep.cli.zoo.abx",
}  # evaluation of a run -> module with its program

References = Annotated[
    str, typer.Option("--references", metavar="FILE", help="Reference texts with ids: .jsonl, .tsv, .csv or .trn.")
]
Hypotheses = Annotated[
    str, typer.Option("--hypotheses", metavar="FILE", help="Texts to score, with the same ids in any order.")
]
IdColumn = Annotated[str, typer.Option("--id-column", metavar="NAME", help="Column of the ids, in both files.")]
ReferenceColumn = Annotated[
    str, typer.Option("--reference-column", metavar="NAME", help="Column of the references to read.")
]
HypothesisColumn = Annotated[
    str, typer.Option("--hypothesis-column", metavar="NAME", help="Column of the hypotheses to read.")
]
SpeakerColumn = Annotated[
    str | None,
    typer.Option(
        "--speaker-column",
        metavar="NAME",
        help="Column of the references with the speaker. The interval is then over speakers, not utterances.",
    ),
]
Trained = Annotated[str, typer.Option("--model", "-m", metavar="FOLDER", help="Folder of a trained model.")]
SeveralTrained = Annotated[
    list[str],
    typer.Option("--model", "-m", metavar="FOLDER", help="Folder of a trained model. Repeat --model for several."),
]
Data = Annotated[str, typer.Option("--data", "-d", metavar="FOLDER", help="Run folder to evaluate on.")]
Decoded = Annotated[
    str | None,
    typer.Option("--out", "-o", metavar="FILE", help="Write the output of the model to this file, as JSON Lines."),
]


class Evaluations(TyperGroup):
    """A group with a command for each benchmark, each evaluation of a run and each evaluation of a model."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Benchmarks, then evaluations of runs, then of models."""
        from speechprep.models.zoo import evaluations

        return [*registry.names("scorers"), *OF_RUNS, *evaluations()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build a command from its record."""
        from speechprep.models.zoo import evaluations

        if cmd_name in OF_RUNS:
            return typer.main.get_command(import_module(OF_RUNS[cmd_name]).app)
        program = typer.Typer(rich_markup_mode=None, add_completion=False)
        if cmd_name in registry.names("scorers"):
            _add_benchmark(program, registry.resolve("scorers", cmd_name))
        elif cmd_name in evaluations():
            _add_evaluation(program, evaluations()[cmd_name])
        else:
            return None
        return typer.main.get_command(program)

    @property
    def commands(self) -> Any:
        """Name -> command, for "did you mean" and for the tests of the help."""
        return {name: self.get_command(None, name) for name in self.list_commands(None)}

    @commands.setter
    def commands(self, value: Any) -> None:
        """Ignored: the commands follow from the declarations."""


app = typer.Typer(name="eval", cls=Evaluations, rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def evaluate(ctx: typer.Context) -> None:
    """Score texts or word times against references, the units of a run, or a trained model on a run."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def _tables(
    *,
    references: References,
    hypotheses: Hypotheses,
    id_column: IdColumn = "id",
    reference_column: ReferenceColumn = "text",
    hypothesis_column: HypothesisColumn = "text",
    speaker_column: SpeakerColumn = None,
    samples: opt.BootstrapSamples = 1000,
    level: opt.BootstrapLevel = 0.95,
    seed: opt.BootstrapSeed = 0,
    json: opt.Json = False,
) -> None:
    """Signature of the options of all benchmarks."""


def _add_benchmark(program: typer.Typer, benchmark: Benchmark) -> None:
    shared = dict(signature(_tables, eval_str=True).parameters)
    if not benchmark.by_speaker:
        del shared["speaker_column"]
    for name in ("reference_column", "hypothesis_column"):
        shared[name] = shared[name].replace(default=benchmark.column)
    option_parameters = parameters(benchmark.options)

    def score(**values: Any) -> None:
        options = benchmark.options.of({parameter.name: values.pop(parameter.name) for parameter in option_parameters})
        _score(benchmark, options.model_dump(), **values)

    files = [shared.pop("references"), shared.pop("hypotheses")]
    call = "speechprep eval {} --references dev.jsonl --hypotheses decoded.jsonl{}"
    lines = tuple(call.format(benchmark.name, rest) for rest in ("", *benchmark.examples))
    function = command(score, [*files, *option_parameters, *shared.values()], benchmark.help)
    program.command(benchmark.name, epilog=examples(lines))(function)


def _score(
    benchmark: Benchmark,
    options: dict[str, Any],
    *,
    references: str,
    hypotheses: str,
    id_column: str,
    reference_column: str,
    hypothesis_column: str,
    samples: int,
    level: float,
    seed: int,
    json: bool,
    speaker_column: str | None = None,
) -> None:
    from speechprep.models.evaluation.bootstrap import Bootstrap
    from speechprep.models.evaluation.files import Table

    true, scored = Table(references, id_column), Table(hypotheses, id_column)
    speakers = None if speaker_column is None else {id: names[0] for id, names in true.lists(speaker_column).items()}
    bootstrap = Bootstrap(samples, level, seed, speakers) if samples else None
    texts = scored.texts(hypothesis_column)
    true_texts = benchmark.references(true, reference_column)
    print_score(benchmark.score(true_texts, texts, bootstrap=bootstrap, **options), json=json)


def _one_model(*, model: Trained, data: Data) -> None:
    """Signature of an evaluation of one model."""


def _several_models(*, model: SeveralTrained, data: Data) -> None:
    """Signature of an evaluation of several models."""


def _last(*, out: Decoded = None, json: opt.Json = False) -> None:
    """Signature of the output options."""


def _add_evaluation(program: typer.Typer, evaluation: Evaluation) -> None:
    first = signature(_several_models if evaluation.many_models else _one_model, eval_str=True).parameters.values()
    last = [p for p in signature(_last, eval_str=True).parameters.values() if p.name != "out" or evaluation.writes]
    specific = parameters(evaluation.options)

    def run(**values: Any) -> None:
        options = evaluation.options.of({parameter.name: values[parameter.name] for parameter in specific})
        trained = values["model"] if evaluation.many_models else [values["model"]]
        result = evaluation.run(trained, [values["data"]], options)
        if values.get("out") is not None:
            write_lines(values["out"], result.records)
        print_result(result, json=values["json"])

    function = command(run, [*first, *specific, *last], evaluation.help)
    program.command(evaluation.name, epilog=examples(evaluation.examples))(function)
