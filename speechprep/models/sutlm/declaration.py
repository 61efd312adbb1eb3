"""Zoo declarations of SUTLM and of its SLUE fine-tuning: options, training and evaluations."""

from __future__ import annotations

from pydantic import Field

from speechprep.models.zoo import Evaluation, Model
from speechprep.options import Options

PAPER = "2310.08715"
MODULE = "speechprep.models.sutlm"


class PairOptions(Options):
    """Options of the evaluations on pairs of a context and its continuation."""

    split: str | None = Field(
        None, description="Evaluate only utterances of this split.", json_schema_extra={"metavar": "NAME"}
    )
    unseen: bool = Field(
        default=False, description="Evaluate only utterances excluded from training by its option `validation`."
    )
    directions: list[str] | None = Field(
        None,
        description="Direction to evaluate: u2u, t2t, u2t or t2u (u: units, t: text; context first). Repeat it for "
        "several.  [default: all]",
        json_schema_extra={"flag": "--direction", "metavar": "NAME"},
    )
    min_words: int = Field(20, ge=2, description="Length of the shortest evaluated utterance, in words.")
    limit: int | None = Field(None, ge=1, description="Evaluate only the first N pairs in the order of their ids.")
    join: str = Field(
        "ast",
        description="Tokens between two modalities: ast writes a switch token, cst the end and begin tokens.",
    )
    fold: str = Field(
        "none",
        description="Case of the text: none leaves it unchanged; lower and upper also remove the punctuation. Set the "
        "case of the training text.",
    )
    seed: int | None = Field(None, description="Seed of all random choices.  [default: 0]")


class CraOptions(PairOptions):
    """Options of `cra`."""

    candidates: int = Field(
        100, ge=2, description="Largest number of contexts to choose from, with the true one. Chance is 1/N."
    )
    tasks: list[str] | None = Field(
        None,
        description="Task: cra (the second half of an utterance after the first) or transcript (the first half in the "
        "other modality). Repeat it for several.  [default: all]",
        json_schema_extra={"flag": "--task", "metavar": "NAME"},
    )
    pools: list[str] | None = Field(
        None,
        description="Speakers of the candidates: same, or other (equal numbers for each speaker). Repeat it for "
        "several.  [default: all]",
        json_schema_extra={"flag": "--pool", "metavar": "NAME"},
    )
    length_tolerance: float = Field(
        0.1,
        description="Largest difference of the lengths of two candidates, as a fraction of the longer one. 1: any.",
        json_schema_extra={"metavar": "X"},
    )
    any_corpus: bool = Field(default=False, description="Take candidates from all corpora, not only the same one.")
    resample: str = Field(
        "auto",
        description="Groups of the bootstrap: speakers, recordings or utterances; auto takes the first with at least 5 "
        "groups.",
    )
    samples: int = Field(1000, ge=1, description="Number of bootstrap samples of an interval.")
    skip_long: bool = Field(
        default=False, description="Leave out pairs longer than the context of the model. Otherwise they are an error."
    )
    threads: int = Field(1, ge=1, description="Number of CPU threads. Rounding, and thus accuracy, depends on it.")
    spread_threads: list[int] | None = Field(
        None,
        description="Further number of CPU threads: the range of the accuracies is added. Repeat it for several.",
        json_schema_extra={"flag": "--spread-threads", "metavar": "N"},
    )


class PelmOptions(PairOptions):
    """Options of `pelm`."""

    lm: str = Field(
        description="Folder of the external causal language model, or its id in the local cache.",
        json_schema_extra={"metavar": "FOLDER"},
    )
    transcriber: str | None = Field(
        None,
        description="Folder of the model that transcribes units: a SUTLM trained with CST rows, or a DMLM trained on "
        "asr with dedup.  [default: the evaluated model]",
        json_schema_extra={"metavar": "FOLDER"},
    )
    samples: int = Field(3, ge=1, description="Number of continuations sampled for each prompt.")
    temperature: float = Field(
        1.0,
        description="Sampling temperature. Higher values give more varied continuations.",
        json_schema_extra={"metavar": "T"},
    )
    top_p: float = Field(
        0.9,
        description="Nucleus sampling: draw from the likeliest tokens with this total probability. 1: from all.",
        json_schema_extra={"metavar": "P"},
    )
    top_k: int = Field(
        50, description="Draw from the K likeliest tokens. 0: from all.", json_schema_extra={"metavar": "K"}
    )
    max_new_tokens: int = Field(128, ge=1, description="Largest number of tokens of a continuation.")


class TransferOptions(Options):
    """Options of `slue-transfer`."""

    labels: str = Field(
        description="File with ids and true labels: .tsv, .jsonl or .csv.", json_schema_extra={"metavar": "FILE"}
    )
    column: str | None = Field(
        None,
        description="Column of the labels in this file.  [default: sentiment or text, by the task]",
        json_schema_extra={"metavar": "NAME"},
    )


CRA = Evaluation(
    name="cra",
    help="Context retrieval accuracy (CRA) of a SUTLM, with oracles.\n\nCRA is the fraction of continuations with the "
    "highest likelihood after their true context. The task transcript retrieves the first half of an utterance by its "
    "other modality. The score renormalised compares tokens of one modality only; the score of the paper compares all "
    "tokens. Candidates have the corpus and the length of the true context. Each row has the accuracy of oracles that "
    "know only the corpus, the speaker or the lengths, and of random weights. Repeat --model for models of several "
    "seeds: the accuracy is their mean.",
    options=CraOptions,
    evaluate=f"{MODULE}.evaluations:evaluate_cra",
    examples=(
        "speechprep eval cra --model models/sutlm --data test-run",
        "speechprep eval cra --model models/seed0 --model models/seed1 --data test-run --pool same --fold upper",
        "speechprep eval cra --model models/sutlm --data test-run --candidates 50 --join cst --json",
    ),
    many_models=True,
)
PELM = Evaluation(
    name="pelm",
    help="Perplexity of an external language model on continuations of a SUTLM (PELM).\n\nEach row also has the "
    "fractions of copied and of repeated words, and the length. The SUTLM itself transcribes units, so its training "
    "needs CST rows, or --transcriber names another model. Its word error rate is printed. The rows `true` score the "
    "true continuations, as text and as transcribed units.",
    options=PelmOptions,
    evaluate=f"{MODULE}.evaluations:evaluate_pelm",
    examples=(
        "speechprep eval pelm --model models/sutlm --data test-run --lm models/opt-6.7b",
        "speechprep eval pelm --model models/sutlm --data test-run --lm models/opt-125m --direction t2t --samples 1",
    ),
)
TRANSFER = Evaluation(
    name="slue-transfer",
    help="SLUE scores of models fine-tuned on speech or on text, each evaluated on speech and on text.",
    options=TransferOptions,
    evaluate=f"{MODULE}.evaluations:evaluate_transfer",
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
    evaluations=(CRA, PELM),
    figures=f"{MODULE}.evaluations:grid_figures",
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
    evaluations=(TRANSFER,),
    examples=("speechprep train slue --data run --out models/sa --set init=models/sutlm --set labels=train.tsv",),
)
