"""DMLM in the zoo: options, training and questions."""

from __future__ import annotations

from pydantic import Field

from speechprep.models.zoo import Model, Question
from speechprep.options import Options

MODULE = "speechprep.models.dmlm"


class AsrOptions(Options):
    """Options of `asr`."""

    split: str | None = Field(None, description="Only utterances of this split.", json_schema_extra={"metavar": "NAME"})
    unseen: bool = Field(default=False, description="Only utterances kept out of training by its option `validation`.")
    beams: int = Field(1, ge=1, description="Beam width; 1 is greedy.")
    max_new_tokens: int = Field(256, ge=1, description="Most tokens of a transcript.")
    normalise: str = Field("librispeech", description="Normalisation of both texts, as of `eval wer`.")


ASR = Question(
    name="asr",
    help="Transcribe the units of a run with a DMLM, and print the word error rate.",
    options=AsrOptions,
    ask=f"{MODULE}.questions:ask_asr",
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
    questions=(ASR,),
    figures=f"{MODULE}.questions:grid_figures",
    examples=("speechprep train dmlm --data run --out models/asr --set size=mini --set shares='{asr: 1}'",),
)
