"""Training of SUTLM: selection of the rows of a run, with the controls of the paper as one option.

`data` names the training rows:

    all                  every row as it is, for a `packed` folder or a run with whatever it has
    speech, text         units alone, text alone: the two controls
    cst, ast             concatenated, alternating speech-text alone
    mixture              a third of the tokens each of speech, text, and both kinds of speech-text
    mixture_cst, mixture_ast    the same with one kind of speech-text
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from speechprep.artifacts import manifest
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.training.options import TrainOptions

if TYPE_CHECKING:
    from speechprep.models.data import Source, VocabularyMetadata
    from speechprep.models.sutlm.model import SutlmForCausalLM
    from speechprep.models.training.run import TrainingJob

SPEECH, TEXT, CST, AST = ("unit",), ("text",), ("cst_ut", "cst_tu"), ("ast",)
DATA: dict[str, tuple[tuple[str, ...], ...]] = {
    "all": (),
    "speech": (SPEECH,),
    "text": (TEXT,),
    "cst": (CST,),
    "ast": (AST,),
    "mixture": (SPEECH, TEXT, (*CST, *AST)),
    "mixture_cst": (SPEECH, TEXT, CST),
    "mixture_ast": (SPEECH, TEXT, AST),
}
LARGE = {"125m": 524_288, "350m": 524_288}  # tokens of an update, by size; the small ones take a batch as it is


class SutlmOptions(TrainOptions):
    """Options of `train sutlm`. Defaults are for random weights; the sizes 125m and 350m set `batch_tokens`."""

    size: Literal["tiny", "mini", "125m", "350m"] = Field("125m", description="shape of the decoder")
    context: int = Field(2048, ge=8, description="tokens of a row, and positions of the model")
    data: Literal["all", "speech", "text", "cst", "ast", "mixture", "mixture_cst", "mixture_ast"] = Field(
        "mixture", description="which rows, see docs/models.md"
    )
    weights: list[float] | None = Field(
        None, description="shares of the tokens, in the order of the mixture's parts; not given: equal"
    )
    documents: Literal["split", "whole"] = Field("split", description="how documents fill rows")
    init: str | None = Field(None, description="folder of a trained SUTLM to start from")

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """As of `TrainOptions`; the large sizes have large updates."""
        large = LARGE.get(values.get("size", "125m"))
        return super().of(values if large is None else {"batch_tokens": large, **values})


def sources(folders: list[str], options: SutlmOptions, part: str | None) -> list[Source]:
    """Sources of a reader: each part of the mixture from each folder.

    Raises:
        ConfigError: a `packed` folder with a choice of rows, or another number of weights than parts.
    """
    from speechprep.models.data import Source

    parts = DATA[options.data]
    weights = options.weights or ([1.0] * len(parts) if len(parts) > 1 else None)
    if weights is not None and len(weights) != len(parts):
        raise ConfigError(f"weights {weights}: data={options.data} has {len(parts)} parts")
    found = []
    for folder in folders:
        packed = manifest.read(folder).kind == "packed"
        if packed and (parts or part):
            wanted = f"data={options.data}" if parts else "validation"
            raise ConfigError(
                f"{folder} is packed, its rows cannot be chosen for {wanted}; give the tokens, or data=all"
            )
        split = {"part": part, "validation": options.validation, "group": options.validation_group} if part else {}
        if not packed:
            split |= {"documents": options.documents}
        for i, kinds in enumerate(parts or (None,)):
            weight = None if weights is None else weights[i]
            found.append(Source(folder, weight=weight, kinds=kinds, **split))  # type: ignore[arg-type]
    return found


def locate(data: str) -> tuple[str, str]:
    """Folders of rows and of the vocabulary, from a run folder, or from the folder of rows within one.

    Raises:
        StaleArtifact: there is nothing of the kind.
    """
    from speechprep.artifacts import storage

    made = manifest.find(data)
    rows = data
    if made is None:
        rows = next((f for f in (storage.join(data, k) for k in ("tokens", "packed")) if manifest.find(f)), "")
        if not rows:
            raise StaleArtifact(f"{data} is neither a run with tokens or packed rows nor such a folder")
    run = data if made is None else data.rstrip("/").rpartition("/")[0] or "."
    return rows, storage.join(run, "subword")


def codebook_of(vocabulary: str) -> str:
    """Content fingerprint of the codebook of the units beside a vocabulary; "" where there are no units."""
    made = manifest.find(vocabulary.rpartition("/")[0] + "/units")
    return "" if made is None else str(made.extra.get("codebook", ""))


def _check_together(vocabularies: list[str]) -> None:
    """Refuse runs with different vocabularies, or with units of different codebooks.

    Raises:
        StaleArtifact: naming both.
    """
    from speechprep.models.data import VocabularyMetadata

    first, *others = vocabularies
    for other in others:
        if VocabularyMetadata.load(other).fingerprint != VocabularyMetadata.load(first).fingerprint:
            raise StaleArtifact(f"{other} and {first} are different vocabularies; train on one of them")
        codebooks = codebook_of(first), codebook_of(other)
        if all(codebooks) and codebooks[0] != codebooks[1]:
            raise StaleArtifact(
                f"the units beside {first} are of codebook {codebooks[0][:12]}, those beside {other} of "
                f"{codebooks[1][:12]}; make the units of all runs with one codebook"
            )


def _trained(options: SutlmOptions, metadata: VocabularyMetadata, vocabulary: str) -> SutlmForCausalLM:
    """The trained model to start from.

    Raises:
        ConfigError, StaleArtifact: a context longer than its positions, or another vocabulary.
    """
    from speechprep.models.sutlm.load import load_model
    from speechprep.models.training.run import check_vocabulary

    model, _ = load_model(str(options.init), dropout=options.dropout)
    check_vocabulary(model, metadata.size, metadata.fingerprint, vocabulary)
    positions = model.config.decoder.max_position_embeddings
    if positions < options.context:
        raise ConfigError(f"rows of {options.context} tokens, but {options.init} has {positions} positions")
    return model


def training_job(data: list[str], options: SutlmOptions) -> TrainingJob:
    """The parts of the training, with all checks possible without the model.

    Args:
        data: run folders, or folders of `tokens` or `packed`.
        options: see there.

    Raises:
        ConfigError, StaleArtifact: different vocabularies, nothing to read, rows longer than the context.
    """
    from speechprep.models.batches import PackedBatches
    from speechprep.models.data import Reader, VocabularyMetadata
    from speechprep.models.sutlm.config import SutlmConfig
    from speechprep.models.sutlm.model import SutlmForCausalLM
    from speechprep.models.training.run import TrainingJob
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

    places = [locate(folder) for folder in data]
    folders, vocabularies = [p[0] for p in places], [p[1] for p in places]
    metadata, vocab = VocabularyMetadata.load(vocabularies[0]), Vocabulary.load(vocabularies[0])
    _check_together(vocabularies)

    def reader(rank: int, world: int, part: str | None) -> PackedBatches:
        share = sources(folders, options, part)
        return PackedBatches(
            Reader(
                share,
                options.context,
                vocabulary=metadata,
                batch_rows=options.rows,
                seed=options.seed,
                rank=rank,
                world=world,
            )
        )

    def model() -> SutlmForCausalLM:
        if options.init is not None:
            return _trained(options, metadata, vocabularies[0])
        config = SutlmConfig.for_vocabulary(
            vocab, metadata.fingerprint, codebook=codebook_of(vocabularies[0]), size=options.size,
            context=options.context, dropout=options.dropout, held_out=options.held_out,
        )  # fmt: skip
        return SutlmForCausalLM(config)

    def finish(out: Path) -> None:
        shutil.copytree(vocabularies[0], out / "subword", dirs_exist_ok=True)

    train_part = "train" if options.validation else None
    reader(0, 1, train_part)  # every check of the data, before the first step
    return TrainingJob(
        model=model,
        batches=lambda rank, world: reader(rank, world, train_part),
        validation=lambda rank, world: reader(rank, world, "validation" if options.validation else None).first(
            options.validate_batches
        ),
        row_tokens=options.context,
        facts={
            "model": "sutlm",
            "vocabulary": metadata.fingerprint,
            "data": [manifest.read(folder).content for folder in folders],
        },
        finish=finish,
    )
