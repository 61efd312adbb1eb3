"""Zoo declaration of Teach me with a Whisper: training, controls and evaluations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from speechprep.models.evaluation.finetuning.declaration import FINETUNE, MOSEI
from speechprep.models.evaluation.minimal_pairs.declaration import BLIMP, MLM
from speechprep.models.zoo import Evaluation, Model
from speechprep.options import Options

MODULE = "speechprep.models.teachme"


class MatchOptions(Options):
    """Options of `audio-match`."""

    split: str | None = Field(
        None, description="Evaluate only rows of this split.", json_schema_extra={"metavar": "NAME"}
    )
    unseen: bool = Field(
        default=False, description="Evaluate only texts excluded from training by its option `validation`."
    )
    texts: Literal["auto", "utterances", "clips"] = Field(
        "auto", description="Rows of the run. auto: clips if the run has them, else utterances."
    )
    tolerance: float = Field(
        0.2, gt=0, description="Largest relative difference between the durations of a clip and a candidate."
    )
    samples: int = Field(1000, ge=1, description="Bootstrap samples of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


MATCH = Evaluation(
    name="audio-match",
    help="Two-way match of texts and audio by a distilled student.\n\nThe text of a clip is compared with its own "
    "audio and with that of another clip. The figure is the fraction of comparisons won, the mean over clips. Chance "
    "is 50 %. Candidates of the same speaker and similar duration, and candidates of other speakers, are separate "
    "rows. Compare with the controls of the same command: the duration or the voice alone can explain a high figure.",
    options=MatchOptions,
    evaluate=f"{MODULE}.evaluations:evaluate_match",
    examples=(
        "speechprep eval audio-match --model models/teachme --data run --unseen",
        "speechprep eval audio-match --model models/teachme --data run --split test --json",
    ),
)


class ProbeOptions(Options):
    """Options of `probe`."""

    labels: str = Field(
        description="File with ids and labels: .tsv, .jsonl or .csv.", json_schema_extra={"metavar": "FILE"}
    )
    column: str = Field("label", description="Column of the labels.", json_schema_extra={"metavar": "NAME"})
    id_column: str = Field("id", description="Column of the ids.", json_schema_extra={"metavar": "NAME"})
    features: Literal["student", "teacher"] = Field(
        "student", description="student: mean token of a layer, from the text. teacher: the vector of the audio."
    )
    layer: int = Field(-1, description="Layer of the student. 0: embeddings. -1: the last.")
    folds: Literal["speakers", "rows"] = Field(
        "speakers", description="speakers: leave one speaker out. rows: five parts by a hash of the id."
    )
    centre_speakers: bool = Field(default=False, description="Subtract the mean of each speaker from the features.")
    ridge: float = Field(0.1, gt=0, description="Penalty of the classifier, relative to the size of the features.")
    texts: Literal["auto", "utterances", "clips"] = Field(
        "auto", description="Rows of the run. auto: clips if the run has them, else utterances."
    )
    samples: int = Field(1000, ge=1, description="Bootstrap samples of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


PROBE = Evaluation(
    name="probe",
    help="Linear probe of a student layer or of the teacher vectors, leaving one speaker out.\n\nThe accuracy is over "
    "all rows with a label, beside that of the most frequent label. A student is a function of the text: labels that "
    "vary between recordings of one text cannot be read from it.",
    options=ProbeOptions,
    evaluate=f"{MODULE}.probe:evaluate_probe",
    examples=(
        "speechprep eval probe --model models/crd --data run --labels emotions.csv --column emotion --features teacher",
        "speechprep eval probe --model models/crd --data run --labels emotions.csv --column emotion --layer 2",
    ),
)
TEACHME = Model(
    name="teachme",
    summary="Teach me with a Whisper: a BERT distilled from the mean vectors of a speech encoder",
    paper="2311.07014",
    options_class=f"{MODULE}.train:TeachMeOptions",
    job=f"{MODULE}.train:training_job",
    evaluations=(BLIMP, MLM, MATCH, PROBE, FINETUNE, MOSEI),
    figures=f"{MODULE}.evaluations:grid_figures",
    examples=(
        "speechprep train teachme --data run --out models/crd --set size=mini --set validation=0.1",
        "speechprep train teachme --data run --out models/nst --set distill=nst --set form=r6",
        "speechprep train teachme --data run --out models/text-only --set gamma=0",
        "speechprep train teachme --data run --out models/control --set audio=shuffled",
    ),
)
