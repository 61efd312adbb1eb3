"""SUTLM and its SLUE fine-tuning in the zoo: options, training and questions."""

from __future__ import annotations

from pydantic import Field

from speechprep.models.zoo import Model, Question
from speechprep.options import Options

PAPER = "2310.08715"
MODULE = "speechprep.models.sutlm"


class PairOptions(Options):
    """Options of the questions on pairs of a context and its continuation."""

    split: str | None = Field(None, description="Only utterances of this split.", json_schema_extra={"metavar": "NAME"})
    unseen: bool = Field(default=False, description="Only utterances kept out of training by its option `validation`.")
    directions: list[str] | None = Field(
        None,
        description="u2u, t2t, u2t or t2u. Repeat it for several.  [default: all]",
        json_schema_extra={"flag": "--direction", "metavar": "NAME"},
    )
    min_words: int = Field(20, ge=2, description="Shortest utterance, in words.")
    limit: int | None = Field(None, ge=1, description="Only the first N pairs, by id.")
    join: str = Field("ast", description="Change of modality: ast (switch token) or cst (end and begin).")
    seed: int | None = Field(None, description="Seed of all randomness.  [default: 0]")


class CraOptions(PairOptions):
    """Options of `cra`."""

    candidates: int = Field(100, ge=2, description="Contexts to choose from, the true one included.")


class PelmOptions(PairOptions):
    """Options of `pelm`."""

    lm: str = Field(
        description="Folder or id of an external causal text LM, the judge.", json_schema_extra={"metavar": "FOLDER"}
    )
    samples: int = Field(3, ge=1, description="Continuations of each prompt.")
    temperature: float = Field(1.0, description="Temperature of the sampling.", json_schema_extra={"metavar": "T"})
    top_p: float = Field(0.9, description="Nucleus of the sampling.", json_schema_extra={"metavar": "P"})
    top_k: int = Field(50, description="Most tokens to draw from; 0 for all.", json_schema_extra={"metavar": "K"})
    max_new_tokens: int = Field(128, ge=1, description="Most tokens of a continuation.")


class TransferOptions(Options):
    """Options of `slue-transfer`."""

    labels: str = Field(description="Ids with true labels: .tsv, .jsonl, .csv.", json_schema_extra={"metavar": "FILE"})
    column: str | None = Field(None, description="Column of the labels.", json_schema_extra={"metavar": "NAME"})


CRA = Question(
    name="cra",
    help="Context retrieval accuracy of a SUTLM: is a continuation likelier after its true context than after others?"
    "\n\nCandidates come from other speakers, and from the same speaker, separately. Chance is 1 / candidates. Corpus "
    "and length alone can explain a high figure: see docs/experiments/joint.md.",
    options=CraOptions,
    ask=f"{MODULE}.questions:ask_cra",
    examples=(
        "speechprep eval cra --model models/sutlm --data test-run",
        "speechprep eval cra --model models/sutlm --data test-run --candidates 50 --join cst --json",
    ),
)
PELM = Question(
    name="pelm",
    help="Perplexity of an external LM on the continuations of a SUTLM; with copies, repetitions and length beside it."
    "\n\nThe SUTLM itself transcribes units, so it must know CST. The rows `true` are the true continuations, as text "
    "and through this transcriber.",
    options=PelmOptions,
    ask=f"{MODULE}.questions:ask_pelm",
    examples=(
        "speechprep eval pelm --model models/sutlm --data test-run --lm models/opt-6.7b",
        "speechprep eval pelm --model models/sutlm --data test-run --lm models/opt-125m --direction t2t --samples 1",
    ),
)
TRANSFER = Question(
    name="slue-transfer",
    help="SLUE by models fine-tuned on speech or on text, each evaluated on speech and on text.",
    options=TransferOptions,
    ask=f"{MODULE}.questions:ask_transfer",
    examples=(
        "speechprep eval slue-transfer --model models/sa-speech --model models/sa-text --data dev-run --labels dev.tsv",
    ),
    many_models=True,
)
SUTLM = Model(
    name="sutlm",
    summary="SUTLM: one decoder over speech units and text",
    paper=PAPER,
    options_class=f"{MODULE}.train:SutlmOptions",
    job=f"{MODULE}.train:training_job",
    questions=(CRA, PELM),
    figures=f"{MODULE}.questions:grid_figures",
    examples=(
        "speechprep train sutlm --data run --out models/sutlm --set size=mini --set steps=2000",
        "speechprep train sutlm --data run --out models/text --set size=mini --set data=text",
        "torchrun --nproc_per_node 8 -m speechprep train sutlm --data run --out models/sutlm --config sutlm.yaml",
    ),
)
SLUE = Model(
    name="slue",
    summary="SUTLM fine-tuned on SLUE (sentiment, named entities), from speech or from text",
    paper=PAPER,
    options_class=f"{MODULE}.finetune:SlueOptions",
    job=f"{MODULE}.finetune:training_job",
    questions=(TRANSFER,),
    examples=("speechprep train slue --data run --out models/sa --set init=models/sutlm --set labels=train.tsv",),
)
