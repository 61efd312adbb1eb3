"""Zoo declaration of DMLM: options, training and evaluations."""

from __future__ import annotations

from pydantic import Field

from speechprep.models.zoo import Evaluation, Model
from speechprep.options import Options

MODULE = "speechprep.models.dmlm"


class DecodeOptions(Options):
    """Options of the evaluations with generated texts."""

    split: str | None = Field(
        None, description="Evaluate only items of this split.", json_schema_extra={"metavar": "NAME"}
    )
    unseen: bool = Field(
        default=False, description="Evaluate only items excluded from training by its option `validation`."
    )
    beams: int = Field(1, ge=1, description="Beam width of the decoding. 1 is greedy.")
    max_new_tokens: int = Field(256, ge=1, description="Largest number of tokens of a text.")


class AsrOptions(DecodeOptions):
    """Options of `asr`."""

    normalise: str = Field(
        "librispeech",
        description="Normalisation of hypotheses and references: none, librispeech or whisper, see `eval wer`.",
    )


class S2ttOptions(DecodeOptions):
    """Options of `s2tt`."""

    language: str = Field(description="Language of the translations: the xx of the task s2tt_xx.")
    references: str = Field(
        description="Reference translations with ids: .jsonl, .tsv or .csv. An id may have several rows.",
        json_schema_extra={"metavar": "FILE"},
    )
    column: str = Field("text", description="Column of the references.")
    lowercase: bool = Field(default=False, description="Fold the case of both sides.")


class I2tOptions(DecodeOptions):
    """Options of `i2t`."""


ASR = Evaluation(
    name="asr",
    help="Transcribe the units of a run with a DMLM, and print the word error rate.",
    options=AsrOptions,
    evaluate=f"{MODULE}.evaluations:evaluate_asr",
    examples=(
        "speechprep eval asr --model models/asr --data test-run",
        "speechprep eval asr --model models/asr --data test-run --beams 5 --normalise whisper --out decoded.jsonl",
    ),
    writes=True,
)
S2TT = Evaluation(
    name="s2tt",
    help="Translate the units of a run with a DMLM, and print BLEU.\n\nOnly utterances with a reference are "
    "translated.",
    options=S2ttOptions,
    evaluate=f"{MODULE}.evaluations:evaluate_s2tt",
    examples=("speechprep eval s2tt --model models/s2tt --data test-run --language de --references dev.de.tsv",),
    writes=True,
)
I2T = Evaluation(
    name="i2t",
    help="Caption the images of a run with a DMLM, and print CIDEr.\n\nThe references are the captions of the run. "
    "Images without captions are left out.",
    options=I2tOptions,
    evaluate=f"{MODULE}.evaluations:evaluate_i2t",
    examples=("speechprep eval i2t --model models/i2t --data test-images --beams 5 --out captions.jsonl",),
    writes=True,
)
DMLM = Model(
    name="dmlm",
    summary="DMLM: a decoder over text, speech codes and image codes",
    paper="2406.06582",
    options_class=f"{MODULE}.train:DmlmOptions",
    job=f"{MODULE}.train:training_job",
    evaluations=(ASR, S2TT, I2T),
    figures=f"{MODULE}.evaluations:grid_figures",
    examples=("speechprep train dmlm --data run --out models/asr --set size=mini --set shares='{asr: 1}'",),
)
