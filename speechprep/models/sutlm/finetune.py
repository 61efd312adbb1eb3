"""Fine-tuning of a SUTLM on SLUE, from speech or from text.

    task: sa     a linear layer on the last token predicts the label  <U_EN> u .. <EOU>                  (text alike)
    task: ner    the model generates the tagged text                  <U_EN> u .. <EOU> <T_EN> tagged <EOS>

Inputs are the rows `unit` and `text` of the `tokens` of a run. The file `labels` has the labels, or the tagged texts in
the format of SLUE, by id. In `ner` only the tagged text is a target.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import open_run
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data.masks import IGNORED
from speechprep.models.examples import ExampleBatches
from speechprep.models.split import held_out
from speechprep.models.training.options import TrainOptions

if TYPE_CHECKING:
    import torch

    from speechprep.models.training.run import TrainingJob
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

Modality = Literal["speech", "text"]
KIND = {"speech": "unit", "text": "text"}
COLUMN = {"sa": "sentiment", "ner": "text"}


class SlueOptions(TrainOptions):
    """Options of `train slue`."""

    init: str = Field(description="folder of the trained SUTLM with the initial weights")
    task: Literal["sa", "ner"] = Field(
        "sa", description="SLUE task; sa: sentiment by a classifier; ner: named entities by generation of tagged text"
    )
    modality: Modality = Field("speech", description="modality of the training inputs")
    labels: str = Field(description="file with the label or tagged text of each id: .jsonl, .tsv or .csv")
    column: str | None = Field(
        None, description="column of the labels in this file; none: sentiment for sa, text for ner"
    )
    lr: float = Field(3e-5, gt=0, description="peak learning rate, after the warm-up")


Example = tuple[list[int], Any]  # input tokens, and the index of the label (sa) or the target tokens (ner)


def read_labels(path: str, task: str, column: str | None = None) -> dict[str, str]:
    """Label or tagged text by id. As in SLUE, `<mixed>` and `Disagreement` are Neutral.

    Raises:
        ConfigError: an unknown sentiment.
    """
    from speechprep.models.evaluation.files import Table
    from speechprep.models.evaluation.slue_sentiment import LABELS, sentiment

    texts = Table(path, "id").texts(column or COLUMN[task])
    if task == "ner":
        return texts
    labels = {id: sentiment(label) for id, label in texts.items()}
    unknown = next((id for id, label in labels.items() if label is None), None)
    if unknown is not None:
        raise ConfigError(f"{path}: id {unknown!r} has the label {texts[unknown]!r}; use one of {', '.join(LABELS)}")
    return {id: label for id, label in labels.items() if label is not None}


def read_inputs(run: str, modality: Modality) -> dict[str, list[int]]:
    """Tokens of each utterance of a run in one modality, by id.

    Raises:
        StaleArtifact: its `tokens` have no rows of this modality.
    """
    inputs = {
        row["id"]: row["input_ids"]
        for row in open_run(run)["tokens"].records(("id", "kind", "input_ids"))
        if row["kind"] == KIND[modality]
    }
    if not inputs:
        raise StaleArtifact(f"{run} has no rows of kind {KIND[modality]!r}; run the stage 'interleave' with this kind")
    return inputs


def tagging_prompt(tokens: list[int], vocab: Vocabulary) -> list[int]:
    """Tokens of an utterance, followed by the start token of the tagged text."""
    return [*tokens, vocab.t_start]


def collate(examples: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    """A batch padded on the right: for `sa` with `lengths` and label indices, for `ner` with `document_ids`."""
    import torch

    tagging = isinstance(examples[0][1], list)
    whole = [[*ids, *after] if tagging else ids for ids, after in examples]
    lengths = torch.tensor([len(ids) for ids in whole])
    ids = torch.full((len(whole), int(lengths.max())), pad)
    for row, tokens in enumerate(whole):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    if not tagging:
        return {"input_ids": ids, "lengths": lengths, "labels": torch.tensor([label for _, label in examples])}
    position = torch.arange(ids.shape[1])
    begins = torch.tensor([len(tokens) for tokens, _ in examples])[:, None]
    inside = position < lengths[:, None]
    labels = torch.where(inside & (position >= begins), ids, IGNORED)
    return {"input_ids": ids, "document_ids": torch.where(inside, 0, -1), "labels": labels}


def training_job(data: list[str], options: SlueOptions) -> TrainingJob:
    """The training job of `train slue`.

    Raises:
        ConfigError, StaleArtifact: no utterance has a label, the run has another vocabulary than the model, or an
            example is longer than the context.
    """
    from speechprep.models.sutlm.classify import SutlmForSequenceClassification
    from speechprep.models.sutlm.load import load_model
    from speechprep.models.training.run import TrainingJob

    trained, vocab = load_model(options.init, dropout=options.dropout)
    trained = trained.cpu()
    labels = read_labels(options.labels, options.task, options.column)
    inputs: dict[str, list[int]] = {}
    for run in data:
        check_run(run, trained.config.vocabulary, options.init)
        inputs |= read_inputs(run, options.modality)
    ids = _labelled(labels, inputs, data, options)
    names = sorted({labels[id] for id in ids})
    examples = _examples(ids, labels, inputs, names, vocab, options)
    _check_lengths(ids, examples, trained.config.decoder.max_position_embeddings, options)

    def model() -> Any:
        return SutlmForSequenceClassification.from_sutlm(trained, names) if options.task == "sa" else trained

    excluded = held_out(ids, options.validation, options.validation_group)
    training = [example for example, out in zip(examples, excluded, strict=True) if not out]
    validation = [example for example, out in zip(examples, excluded, strict=True) if out] or examples
    if not training:
        raise ConfigError(f"validation = {options.validation} excludes every utterance from training; lower it")

    def batches(of: Sequence[Example], rank: int, world: int) -> ExampleBatches:
        return ExampleBatches(
            of,
            partial(collate, pad=vocab.pad),
            rows=options.rows,
            name="slue",
            seed=options.seed,
            rank=rank,
            world=world,
        )

    def finish(out: Path) -> None:
        shutil.copytree(Path(options.init) / "subword", out / "subword", dirs_exist_ok=True)

    return TrainingJob(
        model=model,
        batches=lambda rank, world: batches(training, rank, world),
        validation=lambda rank, world: batches(validation, rank, world).first(options.validate_batches),
        row_tokens=max(1, round(float(np.mean([len(tokens) for tokens, _ in examples])))),
        facts={"model": "slue", "data": [manifest.read(storage.join(run, "tokens")).content for run in data],
               "labels": manifest.digest({id: labels[id] for id in ids})},
        finish=finish,
    )  # fmt: skip


def _labelled(labels: dict[str, str], inputs: dict[str, list[int]], data: list[str], options: SlueOptions) -> list[str]:
    """Sorted ids with a label and an input.

    Raises:
        ConfigError: no id has both.
    """
    ids = sorted(labels.keys() & inputs.keys())
    if not ids:
        raise ConfigError(
            f"no id of {options.labels} (for example {next(iter(labels), '')!r}) is in {', '.join(data)}; "
            "give labels with the ids of the run"
        )
    return ids


def _examples(
    ids: list[str],
    labels: dict[str, str],
    inputs: dict[str, list[int]],
    names: list[str],
    vocab: Vocabulary,
    options: SlueOptions,
) -> list[Example]:
    """Input tokens of each id with the index of its label (`sa`) or its target tokens (`ner`)."""
    examples: list[Example] = []
    for id in ids:
        if options.task == "sa":
            examples.append((inputs[id], names.index(labels[id])))
        else:
            tagged, _ = vocab.encode_texts([" " + labels[id]])
            examples.append((tagging_prompt(inputs[id], vocab), [*tagged.tolist(), vocab.t_end]))
    return examples


def _check_lengths(ids: list[str], examples: list[Example], limit: int, options: SlueOptions) -> None:
    """Check the lengths of the examples.

    Raises:
        ConfigError: an example is longer than the context; the message names its id.
    """
    for id, (tokens, after) in zip(ids, examples, strict=True):
        length = len(tokens) + (len(after) if options.task == "ner" else 0)
        if length > limit:
            raise ConfigError(f"{id!r} has {length} tokens, the context of {options.init} is {limit}; remove its label")


def check_run(run: str, vocabulary: str, model: str) -> None:
    """Check that the tokens of a run have the vocabulary of the model.

    Raises:
        StaleArtifact: another vocabulary; the message names both.
    """
    data_vocabulary = manifest.read(storage.join(run, "tokens")).extra.get("vocabulary", vocabulary)
    if data_vocabulary != vocabulary:
        raise StaleArtifact(
            f"{run} was made with vocabulary {data_vocabulary[:12]}, {model} was trained on {vocabulary[:12]}; run the "
            "stage 'interleave' with the subword folder of the model"
        )
