"""Declaration of `speechprep eval blimp`, without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from speechprep.models.zoo import Evaluation
from speechprep.options import Options


class MaskedLossOptions(Options):
    """Options of `mlm`."""

    against: list[str] | None = Field(
        None,
        description="Folders of the models of a control. Adds their loss and the difference. Repeat the option.",
        json_schema_extra={"metavar": "FOLDER"},
    )
    split: str | None = Field(
        None, description="Evaluate only texts of this split.", json_schema_extra={"metavar": "NAME"}
    )
    unseen: bool = Field(
        default=False, description="Evaluate only texts excluded from training by its option `validation`."
    )
    texts: Literal["auto", "utterances", "clips"] = Field(
        "auto", description="Rows of the run. auto: clips if the run has them, else utterances."
    )
    batch_tokens: int = Field(2048, ge=1, description="Largest number of tokens of a forward pass.")
    samples: int = Field(1000, ge=1, description="Bootstrap samples of the intervals over texts.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")
    quiet: bool = Field(default=False, description="No progress bar.")


class BlimpOptions(Options):
    """Options of `blimp`."""

    method: Literal["auto", "pll", "causal"] = Field(
        "auto",
        description="Score of a sentence. pll: pseudo-log-likelihood of a masked model. causal: log-likelihood of a "
        "causal model. auto: by the kind of the model.",
    )
    unigram: str | None = Field(
        None,
        description="Run folder or text file. Adds a row of a unigram model with the counts of its pieces.",
        json_schema_extra={"metavar": "PATH"},
    )
    fraction: float = Field(
        1.0, description="Score a fixed part of the pairs, chosen by a hash of paradigm and pair.", gt=0, le=1
    )
    batch_tokens: int = Field(2048, ge=1, description="Largest number of tokens of a forward pass.")
    samples: int = Field(1000, ge=1, description="Bootstrap samples of the intervals over paradigms.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")
    quiet: bool = Field(default=False, description="No progress bar.")


BLIMP = Evaluation(
    name="blimp",
    help="Accuracy on minimal pairs (BLiMP, BabyLM supplement) by the likelihood of whole sentences.\n\nA pair is "
    "correct if the acceptable sentence has the higher score, without normalisation by length. --model is a trained "
    "encoder, or any masked or causal language model of transformers. --data is a file, or a folder with one file for "
    "each paradigm: .jsonl, .json or .gz with sentence_good and sentence_bad.",
    options=BlimpOptions,
    evaluate="speechprep.models.evaluation.minimal_pairs.blimp:evaluate",
    examples=(
        "speechprep eval blimp --model models/bert --data blimp",
        "speechprep eval blimp --model models/bert --data blimp --unigram run --json",
        "speechprep eval blimp --model models/bert-base-uncased --data blimp --fraction 0.1",
        "speechprep eval blimp --model models/gpt2 --data supplement --out scores.jsonl",
    ),
    writes=True,
)
MLM = Evaluation(
    name="mlm",
    help="Loss of masked models on the texts of a run, each piece masked once: minus the pseudo-log-likelihood, in "
    "nats a piece.\n\nRepeat --model for the seeds of a model, and --against for those of its control. The difference "
    "is paired by text, with a bootstrap interval over texts, and the standard deviation between single models.",
    options=MaskedLossOptions,
    evaluate="speechprep.models.evaluation.minimal_pairs.masked_loss:evaluate",
    examples=(
        "speechprep eval mlm --model models/bert --data run --unseen",
        "speechprep eval mlm --model models/crd0 --model models/crd1 --against models/text0 --against models/text1 "
        "--data run --unseen",
    ),
    many_models=True,
)
