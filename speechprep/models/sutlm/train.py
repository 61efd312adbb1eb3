"""Training of SUTLM: options, selection of rows, checks, and the training job.

The option `data` selects the rows of a run:

    all                         every row as stored, also from a `packed` folder
    speech, text                rows of one modality, the two controls of the paper
    cst, ast                    concatenated or alternating speech-text rows alone
    mixture                     a third of the tokens each from speech, text, and both kinds of speech-text
    mixture_cst, mixture_ast    the mixture with one kind of speech-text
"""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from speechprep.artifacts import manifest, storage
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
LARGE = {"125m": 524_288, "350m": 524_288}  # size -> default of batch_tokens; the small sizes use one batch


class SutlmOptions(TrainOptions):
    """Options of `train sutlm`. Defaults are for random weights; the sizes 125m and 350m set `batch_tokens`."""

    size: Literal["tiny", "mini", "125m", "350m"] = Field(
        "125m", description="shape of the decoder: 2, 4, 12 or 24 layers of width 64, 256, 768 or 1024"
    )
    context: int = Field(2048, ge=8, description="length of a row in tokens, and number of positions of the model")
    data: Literal["all", "speech", "text", "cst", "ast", "mixture", "mixture_cst", "mixture_ast"] = Field(
        "mixture",
        description="kinds of rows to train on; mixture: a third of the tokens each from speech, text, and speech-text "
        "(table in docs/models.md)",
    )
    weights: list[float] | None = Field(
        None, description="relative shares of the tokens, one for each part of the mixture; none: equal shares"
    )
    documents: Literal["split", "whole"] = Field(
        "split", description="packing of documents into rows; split: cut at the end of a row; whole: padded rows"
    )
    rendering: Literal["stored", "epoch"] = Field(
        "stored",
        description="source of the rows; stored: tokens or packed; epoch: words and units of the run. With epoch, "
        "kinds and spans are drawn anew in each epoch, and each utterance occurs once in each part of the mixture",
    )
    interleave: dict[str, str | float] = Field(
        default_factory=dict,
        description="options of interleave for rendering=epoch: policy, text_words, speech_words, p_speech, mean, ..",
    )
    vocabulary: str | None = Field(None, description="subword folder of the rows; none: the folder in one of the runs")
    init: str | None = Field(
        None, description="folder of a trained SUTLM with the initial weights; none: random weights"
    )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Validated options. The sizes 125m and 350m have another default of `batch_tokens`."""
        large = LARGE.get(values.get("size", "125m"))
        return super().of(values if large is None else {"batch_tokens": large, **values})


def sources(folders: list[str], options: SutlmOptions, part: str | None, subword: str | None = None) -> list[Source]:
    """Sources of a reader: each part of the mixture from each folder.

    Args:
        folders: folders of `tokens` or `packed`; for `rendering` = "epoch" run folders.
        options: training options.
        part: "train" or "validation"; None without a validation split.
        subword: folder of the vocabulary, for `rendering` = "epoch".

    Raises:
        ConfigError: a `packed` folder with a selection of rows, or another number of weights than parts.
    """
    from speechprep.models.data import Rendering, Source

    parts = DATA[options.data]
    render = None
    if options.rendering == "epoch":
        parts = parts or (tuple(dict.fromkeys((*SPEECH, *TEXT, *CST, *AST))),)
        unknown = set(options.interleave) - {f.name for f in fields(Rendering)} | {"subword"} & set(options.interleave)
        if unknown:
            raise ConfigError(f"interleave has no option {min(unknown)!r}; set policy, text_words, speech_words, ..")
        render = Rendering(subword=subword, **options.interleave)  # type: ignore[arg-type]
    weights = options.weights or ([1.0] * len(parts) if len(parts) > 1 else None)
    if weights is not None and len(weights) != len(parts):
        raise ConfigError(f"weights {weights} do not fit data={options.data}; give {len(parts)} weights")
    mixture = []
    for folder in folders:
        packed = render is None and manifest.read(folder).kind == "packed"
        if packed and (parts or part):
            option = f"data={options.data}" if parts else "validation"
            raise ConfigError(
                f"{folder} is packed, so {option} cannot select its rows; give the tokens, or set data=all"
            )
        split = {"part": part, "validation": options.validation, "group": options.validation_group} if part else {}
        if not packed:
            split |= {"documents": options.documents if render is None else "whole", "render": render}
        for i, kinds in enumerate(parts or (None,)):
            weight = None if weights is None else weights[i]
            mixture.append(Source(folder, weight=weight, kinds=kinds, **split))  # type: ignore[arg-type]
    return mixture


def locate(data: str) -> str:
    """Folder of the rows of `data`.

    Args:
        data: a run folder, or its folder of `tokens` or `packed`.

    Raises:
        StaleArtifact: `data` is neither.
    """
    if manifest.find(data) is not None:
        return data
    rows = next((f for f in (storage.join(data, k) for k in ("tokens", "packed")) if manifest.find(f)), "")
    if not rows:
        raise StaleArtifact(
            f"{data} is neither a run with tokens or packed nor one of these folders; run the stage 'interleave'"
        )
    return rows


def _words(run: str) -> str | None:
    """Content of the `words` of a run."""
    words = manifest.find(storage.join(run, "words"))
    return None if words is None else words.content


def vocabulary_of(folders: list[str], given: str | None = None) -> str:
    """The `subword` folder of folders of rows: the option `vocabulary`, or the folder beside one of them.

    A run with the vocabulary of another run needs no `subword` folder of its own.

    Args:
        folders: folders of `tokens` or `packed`.
        given: option `vocabulary`.

    Raises:
        StaleArtifact: rows of different vocabularies, or no `subword` folder; the message names the folders.
    """
    beside = [storage.join(storage.parent(folder), "subword") for folder in folders]
    found = {path: body.content for path in ([given] if given else beside) if (body := manifest.find(path)) is not None}
    recorded = {folder: manifest.read(folder).extra.get("vocabulary") for folder in folders}
    made_with = {folder: str(content) for folder, content in recorded.items() if content}
    first = next(iter(made_with), folders[0])
    for folder, content in made_with.items():
        if content != made_with[first]:
            raise StaleArtifact(
                f"{folder} has rows of vocabulary {content[:12]}, {first} of {made_with[first][:12]}, different "
                "vocabularies; run interleave with one subword folder"
            )
    wanted = made_with.get(first, next(iter(found.values()), ""))
    match = next((path for path, content in found.items() if content == wanted), None)
    if match is None:
        listed = ", ".join(f"{path} ({content[:12]})" for path, content in found.items()) or "none"
        raise StaleArtifact(
            f"no subword folder of vocabulary {wanted[:12]}, with which {first} was made; there is {listed}; set "
            "vocabulary to its folder"
        )
    return match


def _trained(options: SutlmOptions, metadata: VocabularyMetadata, vocabulary: str) -> SutlmForCausalLM:
    """The trained model with the initial weights.

    Raises:
        ConfigError, StaleArtifact: a context longer than its positions, or another vocabulary.
    """
    from speechprep.models.sutlm.load import load_model
    from speechprep.models.training.run import check_vocabulary

    model, _ = load_model(str(options.init), dropout=options.dropout)
    check_vocabulary(model, metadata.size, metadata.fingerprint, vocabulary)
    positions = model.config.decoder.max_position_embeddings
    if positions < options.context:
        raise ConfigError(
            f"rows of {options.context} tokens, but {options.init} has {positions} positions; set context={positions}"
        )
    return model


def training_job(data: list[str], options: SutlmOptions) -> TrainingJob:
    """The training job of `train sutlm`. All checks of the data run here.

    Args:
        data: run folders, or folders of `tokens` or `packed`.
        options: training options.

    Raises:
        ConfigError, StaleArtifact: different vocabularies, no rows, or rows longer than the context.
    """
    from speechprep.models.batches import PackedBatches
    from speechprep.models.data import Reader, VocabularyMetadata
    from speechprep.models.data.unit_identity import check_same_units
    from speechprep.models.sutlm.config import SutlmConfig
    from speechprep.models.sutlm.model import SutlmForCausalLM
    from speechprep.models.training.run import TrainingJob
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

    drawn = options.rendering == "epoch"
    folders = data if drawn else [locate(folder) for folder in data]
    inputs = [storage.join(run, "units") for run in data] if drawn else folders
    vocabulary, units = vocabulary_of(inputs, options.vocabulary), check_same_units(inputs)
    metadata, vocab = VocabularyMetadata.load(vocabulary), Vocabulary.load(vocabulary)

    def batches(rank: int, world: int, part: str | None) -> PackedBatches:
        mixture = sources(folders, options, part, vocabulary)
        return PackedBatches(
            Reader(
                mixture, options.context, vocabulary=metadata, batch_rows=options.rows, seed=options.seed, rank=rank,
                world=world,
            )
        )  # fmt: skip

    def model() -> SutlmForCausalLM:
        if options.init is not None:
            return _trained(options, metadata, vocabulary)
        config = SutlmConfig.for_vocabulary(
            vocab, metadata.fingerprint, codebook=units.codebook, size=options.size,
            context=options.context, dropout=options.dropout, held_out=options.held_out,
        )  # fmt: skip
        return SutlmForCausalLM(config)

    def finish(out: Path) -> None:
        shutil.copytree(vocabulary, out / "subword", dirs_exist_ok=True)

    train_part, validation_part = ("train", "validation") if options.validation else (None, None)
    batches(0, 1, train_part)  # its constructor checks the data before the first step
    return TrainingJob(
        model=model,
        batches=lambda rank, world: batches(rank, world, train_part),
        validation=lambda rank, world: batches(rank, world, validation_part).first(options.validate_batches),
        row_tokens=options.context,
        facts={
            "model": "sutlm",
            "vocabulary": metadata.fingerprint,
            "data": [manifest.read(folder).content for folder in inputs],
            **({"words": [_words(run) for run in data]} if drawn else {}),
        },
        finish=finish,
    )
