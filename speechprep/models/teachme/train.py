"""Training of Teach me with a Whisper: options, teacher vectors, controls, and the training job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from speechprep.errors import ConfigError
from speechprep.models.encoder.options import EncoderOptions
from speechprep.models.encoder.texts import encode_texts, load_texts, sides
from speechprep.models.teachme.teacher import Teacher, duration_vectors, load_teacher, shuffled, text_hashes
from speechprep.tokenizers.arrays.keyed_random import Draws, record_keys

if TYPE_CHECKING:
    import torch

    from speechprep.models.encoder.texts import Examples, Text
    from speechprep.models.teachme.model import TeachMe
    from speechprep.models.training.run import TrainingJob


class TeachMeOptions(EncoderOptions):
    """Options of `train teachme`. The paper states none of its settings (docs/models-encoders.md)."""

    distill: Literal["nst", "crd", "crd_bank"] = Field(
        "crd",
        description="distillation term; crd: contrast in the batch; crd_bank: contrast with a memory bank; nst: MMD",
    )
    form: Literal["r2", "r5", "r6"] = Field(
        "r6", description="form of nst; r6: (cos + 1)^2; r5: cos^2, blind to the sign; r2: second moments alone"
    )
    gamma: float = Field(
        1.0, ge=0, description="weight of the distillation term; 0: MLM alone, with the term reported (control)"
    )
    temperature: float = Field(0.07, gt=0, description="temperature of crd and crd_bank")
    head: Literal["mlp", "linear"] = Field(
        "mlp", description="projection of the student; mlp: dense, GELU, layer norm, linear; linear: one layer"
    )
    dim: int = Field(128, ge=2, description="dimension of the projections of crd and crd_bank")
    negatives: int = Field(
        4096, ge=1, description="negatives of each clip from the memory bank; more than the bank: all"
    )
    audio: Literal["own", "shuffled", "constant", "duration"] = Field(
        "own",
        description="teacher vectors; the controls: shuffled among clips of the speaker and similar duration, one "
        "constant vector, or a function of the duration",
    )
    vector: Literal["mean", "mean_all"] = Field(
        "mean", description="teacher vector; mean: over the frames of the speech; mean_all: over padding too (control)"
    )
    missing: Literal["refuse", "drop"] = Field(
        "refuse", description="treatment of texts without a vector; refuse: error; drop: train without them"
    )
    long: Literal["cut", "refuse"] = Field(
        "refuse", description="treatment of texts longer than the context: cut at the end, or an error"
    )


@dataclass
class TeacherBatches:
    """Tensors of the distillation for `MaskedBatches`.

    Attributes:
        rows: texts of one side, in the order of its examples.
        vectors: function from texts of this side to their vectors (n, dim).
        source: (n,) text with the vector of each text; -1: none.
        hashes: (n,) hash of each text.
        bank: (seed, number of clips of the bank, negatives of a clip, True on the training side); None without a bank.
    """

    rows: list[Text]
    vectors: Any
    source: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    bank: tuple[int, int, int, bool] | None = None

    def __call__(self, chosen: NDArray[np.int64], numbers: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """The tensors of `TeachMe.forward` from the examples and their sample numbers."""
        import torch

        source = self.source[chosen]
        tensors = {
            "vectors": torch.from_numpy(self.vectors(np.maximum(source, 0))),
            "paired": torch.from_numpy(source >= 0),
            "texts": torch.from_numpy(self.hashes[chosen].astype(np.int64)),
        }
        if self.bank is None:
            return tensors
        seed, clips, count, training = self.bank
        draws = Draws(record_keys(seed, "teachme.negatives", [self.rows[i].id for i in chosen.tolist()]))
        row, index = np.repeat(np.arange(len(chosen)), count), np.tile(np.arange(count), len(chosen))
        uniform = draws.uniform(0, row, index + np.repeat(numbers, count) * count)
        negatives = (uniform * clips).astype(np.int64).reshape(len(chosen), count)
        clip = chosen if training else np.full(len(chosen), -1)
        return {**tensors, "clip": torch.from_numpy(clip), "negatives": torch.from_numpy(negatives)}


def training_job(data: list[str], options: TeachMeOptions) -> TrainingJob:
    """The training job of `train teachme`. All checks of the data run here.

    Args:
        data: run folders with `vectors`, and `clips`, `words` or `utterances` for the texts.
        options: training options.

    Raises:
        ConfigError, StaleArtifact: texts without vectors, vectors of other clips or of different extractors, another
            tokenizer than that of the initial model, or texts longer than the context.
    """
    from speechprep.models.encoder.batches import MaskedBatches
    from speechprep.models.encoder.masking import Masking
    from speechprep.models.encoder.shapes import starting_point
    from speechprep.models.training.run import TrainingJob

    tokenizer, start = starting_point(data, options)
    loaded = load_texts(data, rows=options.texts, split=options.split)
    texts, teacher = load_teacher(data, loaded, options.vector, options.missing)
    examples = encode_texts(texts, tokenizer, options.context, options.long)
    training, validation = sides(examples, options)
    clips = len(training)
    training_batches = _teacher_batches(texts.rows, training, teacher, options, training.rows, clips)
    validation_batches = _teacher_batches(
        texts.rows, validation, teacher, options, training.rows, clips, validation=True
    )
    settings, centre = _settings(options, teacher, training_batches, training.rows)
    masking = Masking(tokenizer, options.mask_share, options.whole_words)
    facts = {"distillation": settings, "held_out": options.held_out, "split": options.split}

    def batches(side: Examples, extras: TeacherBatches, rank: int, world: int) -> MaskedBatches:
        return MaskedBatches(side, masking, options.rows, options.seed, rank, world, extras)

    return TrainingJob(
        model=lambda: _model(start, tokenizer, options, facts, centre),
        batches=lambda rank, world: batches(training, training_batches, rank, world),
        validation=lambda rank, world: batches(validation, validation_batches, rank, world).first(
            options.validate_batches
        ),
        row_tokens=max(1, round(float(np.mean(training.pieces.lengths)) + 2)),
        facts={
            "model": "teachme",
            "tokenizer": tokenizer.fingerprint,
            "data": texts.facts,
            "extractor": teacher.extractor,
            "vectors": teacher.contents,
            "texts": {"used": len(texts.rows), "without_vector": len(loaded.rows) - len(texts.rows),
                      "longer": examples.longer, "unpaired": int((training_batches.source < 0).sum())},
        },
        finish=lambda out: tokenizer.save(Path(out)),
        export=lambda trained, out: trained.export(out),
    )  # fmt: skip


def _teacher_batches(
    rows: list[Text],
    side: Examples,
    teacher: Teacher,
    options: TeachMeOptions,
    training: NDArray[np.int64],
    clips: int,
    *,
    validation: bool = False,
) -> TeacherBatches:
    """Vectors of one side for the option `audio`. Shuffled vectors stay on their side."""
    own = [rows[i] for i in side.rows.tolist()]
    source = np.arange(len(own))
    if options.audio == "constant":
        mean = teacher.mean(training).astype(np.float32)
        vectors: Any = lambda chosen: np.repeat(mean[None], len(chosen), 0)  # noqa: E731
    elif options.audio == "duration":
        table = duration_vectors(np.array([row.seconds for row in own]), teacher.dim)
        vectors = lambda chosen: table[chosen]  # noqa: E731
    else:
        vectors = lambda chosen: teacher.take(side.rows[chosen])  # noqa: E731
        if options.audio == "shuffled":
            source = shuffled(own, options.seed)
            if (source < 0).all():
                raise ConfigError(
                    "no text has a partner of the same speaker, so audio=shuffled has no vectors; use own"
                )
    bank = None
    if options.distill == "crd_bank":
        bank = (options.seed, clips, min(options.negatives, clips), not validation)
    return TeacherBatches(own, vectors, source, text_hashes(own), bank)


def _settings(
    options: TeachMeOptions, teacher: Teacher, batches: TeacherBatches, training: NDArray[np.int64]
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """`config.speechprep["distillation"]`, and the centre (dim,) of the vectors of the training side."""
    clips = len(training)
    centre = np.zeros(teacher.dim)
    if options.audio in ("own", "shuffled"):
        centre = teacher.mean(training)
    elif options.audio == "duration":
        centre = batches.vectors(np.arange(clips)).astype(np.float64).mean(0)
    settings = {
        **options.model_dump(include={"distill", "form", "gamma", "temperature", "head", "dim", "audio", "vector"}),
        "teacher_dim": teacher.dim,
        "clips": clips,
        "extractor": teacher.extractor,
    }
    return settings, centre


def _model(start: Any, tokenizer: Any, options: TeachMeOptions, facts: dict[str, Any], centre: Any) -> TeachMe:
    """The model with its initial weights and the centre of the teacher vectors."""
    import torch

    from speechprep.models.encoder.shapes import bert_config, provenance
    from speechprep.models.teachme.model import TeachMe

    if start is None:
        model = TeachMe(bert_config(options.size, tokenizer, options.context, options.dropout, **facts))
    else:
        start.config.speechprep = provenance(tokenizer, **facts)
        model = TeachMe(start.config, start)
    model.distillation.centre.copy_(torch.from_numpy(centre))
    return model
