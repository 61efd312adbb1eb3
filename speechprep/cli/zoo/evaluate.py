"""`speechprep eval`: scores of texts against references, one command for each benchmark."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import options as opt
from speechprep.cli.zoo import evaluate_model
from speechprep.cli.zoo.scores import show

if TYPE_CHECKING:
    from speechprep.models.evaluation.files import Table

app = typer.Typer(name="eval", rich_markup_mode=None, add_completion=False)

EXAMPLES = """\b
Examples:
  speechprep eval wer --references dev.jsonl --hypotheses decoded.jsonl
  speechprep eval wer --references dev.tsv --hypotheses decoded.tsv --normalise whisper --speaker-column speaker
  speechprep eval captions --references captions.csv --hypotheses generated.jsonl --json
  speechprep eval slue-ner --references slue-voxpopuli_dev.tsv --hypotheses tagged.jsonl

Files are .jsonl, .tsv, .csv or sclite's .trn. Rows are joined by id: an id on one side only is an error."""


def _examples(name: str, *more: str) -> str:
    lines = [f"speechprep eval {name} --references dev.jsonl --hypotheses decoded.jsonl{rest}" for rest in ("", *more)]
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


References = Annotated[
    str, typer.Option("--references", metavar="FILE", help="What is right: .jsonl, .tsv, .csv or .trn with ids.")
]
Hypotheses = Annotated[
    str, typer.Option("--hypotheses", metavar="FILE", help="What is scored: the same ids, in any order.")
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
        help="Column of the references that names the speaker: the interval is then over speakers, not utterances.",
    ),
]
Samples = Annotated[
    int, typer.Option("--samples", metavar="N", min=0, help="Bootstrap samples behind the interval; 0 for none.")
]
Level = Annotated[float, typer.Option("--level", metavar="SHARE", help="Share of the samples inside the interval.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the bootstrap.")]
Normalise = Annotated[
    str,
    typer.Option(
        "--normalise",
        metavar="NAME",
        help="none, librispeech (case folded) or whisper (Whisper's EnglishTextNormalizer).",
    ),
]
Spellings = Annotated[
    str | None,
    typer.Option(
        "--spellings",
        metavar="FILE",
        help="For whisper without the package openai-whisper: normalizer.json of a Whisper model folder.",
    ),
]


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def evaluate(ctx: typer.Context) -> None:
    """Score texts against references, with counts and a confidence interval."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


Own = Callable[..., dict[str, Any]]
Reading = Callable[[Any, str], Any]  # (a Table, a column) -> references as the scorer takes them


def _score(
    name: str,
    read: Reading,
    options: dict[str, Any],
    *,
    references: References,
    hypotheses: Hypotheses,
    id_column: IdColumn = "id",
    reference_column: ReferenceColumn = "text",
    hypothesis_column: HypothesisColumn = "text",
    speaker_column: SpeakerColumn = None,
    samples: Samples = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    json: opt.Json = False,
) -> None:
    """What every benchmark takes and does: two tables in, a score out."""
    from speechprep.models.evaluation import scorer
    from speechprep.models.evaluation.bootstrap import Bootstrap
    from speechprep.models.evaluation.files import Table

    right, said = Table(references, id_column), Table(hypotheses, id_column)
    speakers = None if speaker_column is None else {id: names[0] for id, names in right.lists(speaker_column).items()}
    bootstrap = Bootstrap(samples, level, seed, speakers) if samples else None
    texts = said.texts(hypothesis_column)
    show(scorer(name)(read(right, reference_column), texts, bootstrap=bootstrap, **options), json=json)


def _texts(right: Table, column: str) -> dict[str, str]:
    return right.texts(column)


def _lists(right: Table, column: str) -> dict[str, list[str]]:
    return right.lists(column)


def _tagged(right: Table, column: str) -> dict[str, str]:
    if right.has(column) or not (right.has("normalized_text") and right.has("normalized_ner")):
        return right.texts(column)
    from speechprep.models.evaluation.slue_ner import annotation, tagged

    spans = right.texts("normalized_ner")
    return {id: tagged(text, annotation(spans[id])) for id, text in right.texts("normalized_text").items()}


def _benchmark(
    name: str,
    *examples: str,
    column: str = "text",
    read: Reading = _texts,
    leave_out: tuple[str, ...] = (),
) -> Callable[[Own], Own]:
    """Make a command of a function that takes a benchmark's own options and returns those of its scorer.

    Args:
        name: of the command and of the scorer.
        examples: what else its examples have on the line.
        column: the columns that are read if no other is named.
        read: what the scorer wants of the references.
        leave_out: options of `_score` that it has no use for.
    """

    def add(own: Own) -> Own:
        mine = signature(own, eval_str=True).parameters
        shared = {key: p for key, p in signature(_score, eval_str=True).parameters.items() if p.kind is p.KEYWORD_ONLY}
        for key in ("reference_column", "hypothesis_column"):
            shared[key] = shared[key].replace(default=column)
        first = ("references", "hypotheses")
        last = [p for key, p in shared.items() if key not in (*first, *leave_out)]
        parameters = [*(shared[key] for key in first), *mine.values(), *last]

        def command(**given: Any) -> None:
            _score(name, read, own(**{key: given.pop(key) for key in mine}), **given)

        made: Any = command
        made.__doc__, made.__signature__ = own.__doc__, Signature(parameters)
        made.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, epilog=_examples(name, *examples))(made)
        return own

    return add


@_benchmark("wer", " --normalise whisper", " --speaker-column speaker --json")
def wer(
    *,
    normalise: Normalise = "librispeech",
    spellings: Spellings = None,
    alternations: Annotated[
        bool, typer.Option("--alternations", help="Read { A / B } in references as sclite does: the better one counts.")
    ] = False,
) -> dict[str, Any]:
    """Word error rate: substitutions, deletions and insertions for each word of the references."""
    return {"normalise": normalise, "spellings": spellings, "alternations": alternations}


@_benchmark("cer", " --normalise none")
def cer(*, normalise: Normalise = "librispeech", spellings: Spellings = None) -> dict[str, Any]:
    """Character error rate; a run of white space is one character."""
    return {"normalise": normalise, "spellings": spellings}


@_benchmark("captions", " --reference-column references", " --json", read=_lists, leave_out=("speaker_column",))
def captions(
    *,
    tokens: Annotated[
        str, typer.Option("--tokens", metavar="NAME", help="ptb, or none for texts that are tokenized already.")
    ] = "ptb",
) -> dict[str, Any]:
    """CIDEr, ROUGE-L and BLEU of captions.

    Several references of an id are several rows, or a list in JSON. Give the references of the whole split: the
    document frequencies of CIDEr come from them.
    """
    return {"tokens": tokens}


@_benchmark("bleu", " --lowercase", read=_lists)
def bleu(
    *, lowercase: Annotated[bool, typer.Option("--lowercase", help="Fold upper and lower case.")] = False
) -> dict[str, Any]:
    """BLEU of translations by sacrebleu, with its signature.

    Several references of an id are several rows, or a list in JSON.
    """
    return {"lowercase": lowercase}


@_benchmark("slue-sa", " --reference-column label --hypothesis-column label", column="sentiment")
def slue_sa() -> dict[str, Any]:
    """Sentiment of SLUE-VoxCeleb: macro and weighted precision, recall and F1."""
    return {}


@_benchmark("slue-ner", " --speaker-column speaker_id", read=_tagged)
def slue_ner() -> dict[str, Any]:
    """Named entities of SLUE-VoxPopuli: F1 and label-F1 of tagged text.

    References are tagged text (`$ barack obama ] visited % paris ]`), or a TSV of the release itself, whose columns
    normalized_text and normalized_ner are then read.
    """
    return {}


for _name, _command, _more in (
    ("asr", evaluate_model.asr, evaluate_model.ASR_EXAMPLES),
    ("cra", evaluate_model.cra, evaluate_model.CRA_EXAMPLES),
    ("pelm", evaluate_model.pelm, evaluate_model.PELM_EXAMPLES),
    ("slue-transfer", evaluate_model.transfer, evaluate_model.TRANSFER_EXAMPLES),
):
    app.command(_name, epilog=_more)(_command)
