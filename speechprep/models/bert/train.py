"""Training of BERT by MLM: options, data, and the training job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from speechprep.models.encoder.options import EncoderOptions

if TYPE_CHECKING:
    from speechprep.models.bert.model import Bert
    from speechprep.models.encoder.texts import Examples
    from speechprep.models.training.run import TrainingJob


class BertOptions(EncoderOptions):
    """Options of `train bert`."""

    long: Literal["split", "cut", "refuse"] = Field(
        "split", description="treatment of texts longer than the context: split into rows, cut at the end, or an error"
    )


def training_job(data: list[str], options: BertOptions) -> TrainingJob:
    """The training job of `train bert`. All checks of the data run here.

    Args:
        data: run folders and text files.
        options: training options.

    Raises:
        ConfigError, StaleArtifact: no text, no tokenizer, an initial model of another vocabulary, or longer texts.
    """
    from speechprep.models.bert.model import Bert
    from speechprep.models.encoder.batches import MaskedBatches
    from speechprep.models.encoder.masking import Masking
    from speechprep.models.encoder.shapes import bert_config, provenance, starting_point
    from speechprep.models.encoder.texts import encode_texts, load_texts, sides
    from speechprep.models.training.run import TrainingJob

    tokenizer, start = starting_point(data, options)
    texts = load_texts(data, rows=options.texts, split=options.split)
    training, validation = sides(encode_texts(texts, tokenizer, options.context, options.long), options)
    masking = Masking(tokenizer, options.mask_share, options.whole_words)
    built: list[Bert] = []

    def model() -> Bert:
        if start is None:
            config = bert_config(options.size, tokenizer, options.context, options.dropout, held_out=options.held_out)
            built.append(Bert(config))
        else:
            start.config.speechprep = provenance(tokenizer, held_out=options.held_out)
            built.append(Bert(start.config, start))
        return built[-1]

    def batches(examples: Examples, rank: int, world: int) -> MaskedBatches:
        return MaskedBatches(examples, masking, options.rows, options.seed, rank, world)

    return TrainingJob(
        model=model,
        batches=lambda rank, world: batches(training, rank, world),
        validation=lambda rank, world: batches(validation, rank, world).first(options.validate_batches),
        row_tokens=max(1, round(float(np.mean(training.pieces.lengths)) + 2)),
        facts={"model": "bert", "tokenizer": tokenizer.fingerprint, "data": texts.facts},
        finish=lambda out: tokenizer.save(Path(out)),
        export=lambda trained, out: trained.export(out),
    )
