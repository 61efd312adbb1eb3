"""`speechprep eval`: scores of texts against references, one command for each benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechprep.cli import ask
from speechprep.cli import options as opt
from speechprep.cli.scores import show

if TYPE_CHECKING:
    from speechprep.models.evaluation.bootstrap import Bootstrap
    from speechprep.models.evaluation.files import Table
    from speechprep.models.evaluation.score import Score

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


@app.command("wer", epilog=_examples("wer", " --normalise whisper", " --speaker-column speaker --json"))
def wer(
    *,
    references: References,
    hypotheses: Hypotheses,
    normalise: Normalise = "librispeech",
    spellings: Spellings = None,
    alternations: Annotated[
        bool, typer.Option("--alternations", help="Read { A / B } in references as sclite does: the better one counts.")
    ] = False,
    id_column: IdColumn = "id",
    reference_column: ReferenceColumn = "text",
    hypothesis_column: HypothesisColumn = "text",
    speaker_column: SpeakerColumn = None,
    samples: Samples = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    json: opt.Json = False,
) -> None:
    """Word error rate: substitutions, deletions and insertions for each word of the references."""
    right, said = _tables(references, hypotheses, id_column)
    options = {"normalise": normalise, "spellings": spellings, "alternations": alternations}
    bootstrap = _bootstrap(right, speaker_column, samples, level, seed)
    show(_run("wer", right.texts(reference_column), said.texts(hypothesis_column), bootstrap, **options), json=json)


@app.command("cer", epilog=_examples("cer", " --normalise none"))
def cer(
    *,
    references: References,
    hypotheses: Hypotheses,
    normalise: Normalise = "librispeech",
    spellings: Spellings = None,
    id_column: IdColumn = "id",
    reference_column: ReferenceColumn = "text",
    hypothesis_column: HypothesisColumn = "text",
    speaker_column: SpeakerColumn = None,
    samples: Samples = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    json: opt.Json = False,
) -> None:
    """Character error rate; a run of white space is one character."""
    right, said = _tables(references, hypotheses, id_column)
    options = {"normalise": normalise, "spellings": spellings}
    bootstrap = _bootstrap(right, speaker_column, samples, level, seed)
    show(_run("cer", right.texts(reference_column), said.texts(hypothesis_column), bootstrap, **options), json=json)


@app.command("captions", epilog=_examples("captions", " --reference-column references", " --json"))
def captions(
    *,
    references: References,
    hypotheses: Hypotheses,
    tokens: Annotated[
        str, typer.Option("--tokens", metavar="NAME", help="ptb, or none for texts that are tokenized already.")
    ] = "ptb",
    id_column: IdColumn = "id",
    reference_column: ReferenceColumn = "text",
    hypothesis_column: HypothesisColumn = "text",
    samples: Samples = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    json: opt.Json = False,
) -> None:
    """CIDEr, ROUGE-L and BLEU of captions.

    Several references of an id are several rows, or a list in JSON. Give the references of the whole split: the
    document frequencies of CIDEr come from them.
    """
    right, said = _tables(references, hypotheses, id_column)
    bootstrap = _bootstrap(right, None, samples, level, seed)
    texts = said.texts(hypothesis_column)
    show(_run("captions", right.lists(reference_column), texts, bootstrap, tokens=tokens), json=json)


@app.command("bleu", epilog=_examples("bleu", " --lowercase"))
def bleu(
    *,
    references: References,
    hypotheses: Hypotheses,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Fold upper and lower case.")] = False,
    id_column: IdColumn = "id",
    reference_column: ReferenceColumn = "text",
    hypothesis_column: HypothesisColumn = "text",
    speaker_column: SpeakerColumn = None,
    samples: Samples = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    json: opt.Json = False,
) -> None:
    """BLEU of translations by sacrebleu, with its signature.

    Several references of an id are several rows, or a list in JSON.
    """
    right, said = _tables(references, hypotheses, id_column)
    bootstrap = _bootstrap(right, speaker_column, samples, level, seed)
    texts = said.texts(hypothesis_column)
    show(_run("bleu", right.lists(reference_column), texts, bootstrap, lowercase=lowercase), json=json)


@app.command("slue-sa", epilog=_examples("slue-sa", " --reference-column label --hypothesis-column label"))
def slue_sa(
    *,
    references: References,
    hypotheses: Hypotheses,
    id_column: IdColumn = "id",
    reference_column: ReferenceColumn = "sentiment",
    hypothesis_column: HypothesisColumn = "sentiment",
    speaker_column: SpeakerColumn = None,
    samples: Samples = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    json: opt.Json = False,
) -> None:
    """Sentiment of SLUE-VoxCeleb: macro and weighted precision, recall and F1."""
    right, said = _tables(references, hypotheses, id_column)
    bootstrap = _bootstrap(right, speaker_column, samples, level, seed)
    show(_run("slue-sa", right.texts(reference_column), said.texts(hypothesis_column), bootstrap), json=json)


@app.command("slue-ner", epilog=_examples("slue-ner", " --speaker-column speaker_id"))
def slue_ner(
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
    """Named entities of SLUE-VoxPopuli: F1 and label-F1 of tagged text.

    References are tagged text (`$ barack obama ] visited % paris ]`), or a TSV of the release itself, whose columns
    normalized_text and normalized_ner are then read.
    """
    right, said = _tables(references, hypotheses, id_column)
    bootstrap = _bootstrap(right, speaker_column, samples, level, seed)
    show(_run("slue-ner", _tagged(right, reference_column), said.texts(hypothesis_column), bootstrap), json=json)


for _name, _command, _more in (
    ("asr", ask.asr, ask.ASR_EXAMPLES),
    ("cra", ask.cra, ask.CRA_EXAMPLES),
    ("pelm", ask.pelm, ask.PELM_EXAMPLES),
    ("slue-transfer", ask.transfer, ask.TRANSFER_EXAMPLES),
):
    app.command(_name, epilog=_more)(_command)


def _tagged(right: Table, column: str) -> dict[str, str]:
    if right.has(column) or not (right.has("normalized_text") and right.has("normalized_ner")):
        return right.texts(column)
    from speechprep.models.evaluation.slue_ner import annotation, tagged

    spans = right.texts("normalized_ner")
    return {id: tagged(text, annotation(spans[id])) for id, text in right.texts("normalized_text").items()}


def _tables(references: str, hypotheses: str, id_column: str) -> tuple[Table, Table]:
    from speechprep.models.evaluation.files import Table

    return Table(references, id_column), Table(hypotheses, id_column)


def _bootstrap(right: Table, speakers: str | None, samples: int, level: float, seed: int) -> Bootstrap | None:
    if not samples:
        return None
    from speechprep.models.evaluation.bootstrap import Bootstrap

    named = None if speakers is None else {id: names[0] for id, names in right.lists(speakers).items()}
    return Bootstrap(samples, level, seed, named)


def _run(name: str, references: Any, hypotheses: Any, bootstrap: Bootstrap | None, **options: Any) -> Score:
    from speechprep.models.evaluation import scorer

    score: Score = scorer(name)(references, hypotheses, bootstrap=bootstrap, **options)
    return score
