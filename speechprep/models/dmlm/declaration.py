"""Zoo declaration of DMLM: options, training and evaluations."""

from __future__ import annotations

from pydantic import Field

from speechprep.models.zoo import Evaluation, Model
from speechprep.options import Options

MODULE = "speechprep.models.dmlm"


class AsrOptions(Options):
    """Options of `asr`."""

    split: str | None = Field(
        None, description="Evaluate only utterances of this split.", json_schema_extra={"metavar": "NAME"}
    )
    unseen: bool = Field(
        default=False, description="Evaluate only utterances excluded from training by its option `validation`."
    )
    beams: int = Field(1, ge=1, description="Beam width of the decoding. 1 is greedy.")
    max_new_tokens: int = Field(256, ge=1, description="Largest number of tokens of a transcript.")
    normalise: str = Field(
        "librispeech",
        description="Normalisation of hypotheses and references: none, librispeech or whisper, see `eval wer`.",
    )


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
DMLM = Model(
    name="dmlm",
    summary="DMLM: a decoder over text, speech codes and image codes",
    paper="2406.06582",
    options_class=f"{MODULE}.train:DmlmOptions",
    job=f"{MODULE}.train:training_job",
    evaluations=(ASR,),
    figures=f"{MODULE}.evaluations:grid_figures",
    examples=("speechprep train dmlm --data run --out models/asr --set size=mini --set shares='{asr: 1}'",),
)
