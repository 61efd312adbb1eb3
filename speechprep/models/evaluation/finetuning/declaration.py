"""Declarations of `speechprep eval finetune` and `speechprep eval mosei`, without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from speechprep.models.zoo import Evaluation
from speechprep.options import Options

MODULE = "speechprep.models.evaluation.finetuning"


class TuningOptions(Options):
    """Options of every fine-tuning."""

    seeds: list[int] = Field(
        [0, 1, 2, 3, 4],
        min_length=1,
        description="Seeds of the fine-tunings. Repeat the option.",
        json_schema_extra={"flag": "--seed"},
    )
    epochs: int = Field(5, ge=1, description="Passes over the training side, with a validation after each.")
    rows: int = Field(32, ge=1, description="Batch size: texts in one update.")
    lr: float = Field(5e-5, gt=0, description="Peak learning rate, after a warm-up over a tenth of the updates.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout probability of all layers.")
    keep: str | None = Field(
        None,
        description="Folder for the fine-tuned models. The same command resumes there.",
        json_schema_extra={"metavar": "FOLDER"},
    )
    samples: int = Field(1000, ge=1, description="Bootstrap samples of the intervals.")
    bootstrap_seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


class FinetuneOptions(TuningOptions):
    """Options of `finetune`."""

    labels: str = Field(
        description="File with ids and labels: .tsv, .jsonl or .csv.", json_schema_extra={"metavar": "FILE"}
    )
    column: str = Field("label", description="Column of the labels.", json_schema_extra={"metavar": "NAME"})
    id_column: str = Field("id", description="Column of the ids.", json_schema_extra={"metavar": "NAME"})
    task: Literal["classes", "number"] = Field(
        "classes", description="Kind of the labels. classes: names. number: numbers, by regression."
    )
    texts: Literal["auto", "utterances", "clips"] = Field(
        "auto", description="Rows of the run. auto: clips if the run has them, else utterances."
    )
    test_split: str | None = Field(
        None,
        description="Split of the test side. Without it, whole speakers are drawn by a hash of their names.",
        json_schema_extra={"metavar": "NAME"},
    )
    valid_split: str | None = Field(
        None,
        description="Split of the validation side. Without it, texts or speakers of the rest are drawn.",
        json_schema_extra={"metavar": "NAME"},
    )
    test_share: float = Field(0.2, gt=0, lt=1, description="Fraction of the speakers on a drawn test side.")
    valid_share: float = Field(0.1, gt=0, lt=1, description="Fraction of the speakers on a drawn validation side.")


class MoseiOptions(TuningOptions):
    """Options of `mosei`."""

    task: Literal["both", "sentiment", "emotions"] = Field("both", description="Labels to learn and to score.")
    source: Literal["auto", "words", "transcripts"] = Field(
        "auto",
        description="Texts of the segments. words: CMU_MOSEI_TimestampedWords.csd. transcripts: the raw text files. "
        "auto: the transcripts if the folder has any.",
    )
    fold: Literal["lower", "upper", "none"] = Field(
        "lower", description="Case of the texts; lower and upper remove punctuation too. Set the case of the training."
    )


FINETUNE = Evaluation(
    name="finetune",
    help="Fine-tuning of an encoder on labels of the texts of a run, over several seeds.\n\nEach seed is one training. "
    "Its weights are those of the best validation. The scores are those of the test side: mean and standard deviation "
    "over the seeds, and a bootstrap interval over speakers. The column majority has the figure of the most frequent "
    "class, or of the median number, of the training side. A drawn side has whole speakers.",
    options=FinetuneOptions,
    evaluate=f"{MODULE}.of_run:evaluate",
    examples=(
        "speechprep eval finetune --model models/bert --data run --labels emotions.csv --column emotion",
        "speechprep eval finetune --model models/bert --data run --labels scores.csv --task number --seed 0 --seed 1",
    ),
)
MOSEI = Evaluation(
    name="mosei",
    help="Fine-tuning of an encoder on CMU-MOSEI, over several seeds.\n\nSentiment is learnt as a number and scored by "
    "Acc-2 (negative and non-negative; negative and positive without the zeros), Acc-7 by two rules, Pearson's r and "
    "the mean absolute error. Six emotions are learnt together and scored by accuracy and weighted F1 of their "
    "presence. Each row has the figure of the best constant prediction of the training fold. Intervals are over "
    "videos. --data is a folder with CMU_MOSEI_Labels.csd, texts, and cmu_mosei_std_folds.py of the SDK.",
    options=MoseiOptions,
    evaluate=f"{MODULE}.of_mosei:evaluate",
    examples=(
        "speechprep eval mosei --model models/crd --data mosei",
        "speechprep eval mosei --model models/crd --data mosei --task sentiment --seed 0 --seed 1 --json",
    ),
)
