"""Fine-tuning of a SUTLM on SLUE, from speech or from text, for the transfer to the other modality.

    task: sa     a linear layer on the last token says the label      <U_EN> u .. <EOU>                    or text alike
    task: ner    the model goes on with the tagged text               <U_EN> u .. <EOU> <T_EN> tagged <EOS>

Inputs are the rows `unit` and `text` of a run's `tokens`; labels, or tagged texts in SLUE's form, come from a file
with ids (`labels`). Only the tagged text is a target of `ner`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import open_run
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data.masks import IGNORED
from speechprep.models.data.order import permutation, source_key
from speechprep.models.split import held_out
from speechprep.models.training.options import TrainOptions
from speechprep.tokenizers.arrays.keyed_random import salted

if TYPE_CHECKING:
    import torch

    from speechprep.models.training.run import TrainingJob
    from speechprep.tokenizers.subword.vocabulary import Vocabulary

Modality = Literal["speech", "text"]
KIND = {"speech": "unit", "text": "text"}
COLUMN = {"sa": "sentiment", "ner": "text"}


class SlueOptions(TrainOptions):
    """Options of `train slue`."""

    init: str = Field(description="folder of the trained SUTLM to start from")
    task: Literal["sa", "ner"] = Field("sa", description="sentiment by a classifier, or named entities as tagged text")
    modality: Modality = Field("speech", description="what the model is fine-tuned on")
    labels: str = Field(description="file of id and label: .jsonl, .tsv or .csv")
    column: str | None = Field(None, description="column of the labels; not given: sentiment for sa, text for ner")
    lr: float = Field(3e-5, gt=0, description="highest learning rate")


Example = tuple[list[int], Any]  # tokens, and a label or the tokens that follow


def read_labels(path: str, task: str, column: str | None = None) -> dict[str, str]:
    """Label or tagged text by id; `<mixed>` and `Disagreement` are Neutral, as SLUE has it.

    Raises:
        ConfigError: an unknown sentiment.
    """
    from speechprep.models.evaluation.files import Table
    from speechprep.models.evaluation.slue_sentiment import LABELS, sentiment

    found = Table(path, "id").texts(column or COLUMN[task])
    if task == "ner":
        return found
    known = {id: sentiment(label) for id, label in found.items()}
    odd = next((id for id, label in known.items() if label is None), None)
    if odd is not None:
        raise ConfigError(f"{path}: id {odd!r} has the label {found[odd]!r}; labels are {', '.join(LABELS)}")
    return {id: label for id, label in known.items() if label is not None}


def read_inputs(run: str, modality: Modality) -> dict[str, list[int]]:
    """Tokens of each utterance of a run in one modality, by id.

    Raises:
        StaleArtifact: its `tokens` have no rows of that kind.
    """
    inputs = {
        row["id"]: row["input_ids"]
        for row in open_run(run)["tokens"].records(("id", "kind", "input_ids"))
        if row["kind"] == KIND[modality]
    }
    if not inputs:
        raise StaleArtifact(f"{run} has no rows of kind {KIND[modality]!r}; run interleave with it")
    return inputs


def asked(tokens: list[int], vocab: Vocabulary) -> list[int]:
    """Tokens of an utterance, and the start of the text after it."""
    return [*tokens, vocab.t_start]


class ExampleBatches:
    """Examples in an order of their own for each epoch, from any place on; a step of all ranks takes the next ones.

    Args:
        examples: tokens and label numbers (`sa`), or tokens and the tokens after them (`ner`).
        rows: of a batch of one rank.
        pad: id of padding.
        seed, rank, world: see `MixedBatches`.
    """

    def __init__(
        self, examples: Sequence[Example], *, rows: int, pad: int, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.examples, self.rows, self.pad = examples, rows, pad
        self.key, self.rank, self.world = source_key(seed, "slue"), rank, world
        self.taken = 0

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """From the place on."""
        n, order, epoch = len(self.examples), np.zeros(0, np.int64), -1
        while True:
            begin = self.taken + self.rank * self.rows
            self.taken += self.rows * self.world
            chosen = []
            for number in range(begin, begin + self.rows):
                if number // n != epoch:
                    epoch = number // n
                    order = permutation(salted(self.key, epoch), n)
                chosen.append(self.examples[order[number % n]])
            yield collate(chosen, self.pad)

    def state(self) -> dict[str, Any]:
        """Examples taken by all ranks."""
        return {"examples": self.taken}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on after them."""
        self.taken = state["examples"]


def collate(examples: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    """Rows padded on the right: for the classifier with `lengths`, for the generator with `document_ids`."""
    import torch

    tagging = isinstance(examples[0][1], list)
    whole = [[*ids, *after] if tagging else ids for ids, after in examples]
    lengths = torch.tensor([len(ids) for ids in whole])
    ids = torch.full((len(whole), int(lengths.max())), pad)
    for row, tokens in enumerate(whole):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    if not tagging:
        return {"input_ids": ids, "lengths": lengths, "labels": torch.tensor([label for _, label in examples])}
    place = torch.arange(ids.shape[1])
    begins = torch.tensor([len(tokens) for tokens, _ in examples])[:, None]
    inside = place < lengths[:, None]
    labels = torch.where(inside & (place >= begins), ids, IGNORED)
    return {"input_ids": ids, "document_ids": torch.where(inside, 0, -1), "labels": labels}


def training_job(data: list[str], options: SlueOptions) -> TrainingJob:
    """The parts of the training.

    Raises:
        ConfigError, StaleArtifact: no utterance has a label, another vocabulary than the model's, or examples longer
            than its context.
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
    known = sorted(labels.keys() & inputs.keys())
    if not known:
        raise ConfigError(
            f"no id of {options.labels} is in {', '.join(data)}; it names e.g. {next(iter(labels), '')!r}"
        )
    names = sorted({labels[id] for id in known})
    examples: list[Example] = []
    for id in known:
        if options.task == "sa":
            examples.append((inputs[id], names.index(labels[id])))
        else:
            tagged, _ = vocab.encode_texts([" " + labels[id]])
            examples.append((asked(inputs[id], vocab), [*tagged.tolist(), vocab.t_end]))
    _check_lengths(known, examples, trained.config.decoder.max_position_embeddings, options)

    def model() -> Any:
        return SutlmForSequenceClassification.from_sutlm(trained, names) if options.task == "sa" else trained

    unseen = held_out(known, options.validation, options.validation_group)
    trained_on = [example for example, out in zip(examples, unseen, strict=True) if not out]
    validated = [example for example, out in zip(examples, unseen, strict=True) if out] or examples
    if not trained_on:
        raise ConfigError(f"validation = {options.validation}: no utterance is left to train on; lower it")

    def batches(of: Sequence[Example], rank: int, world: int) -> ExampleBatches:
        return ExampleBatches(of, rows=options.rows, pad=vocab.pad, seed=options.seed, rank=rank, world=world)

    def finish(out: Path) -> None:
        shutil.copytree(Path(options.init) / "subword", out / "subword", dirs_exist_ok=True)

    return TrainingJob(
        model=model,
        batches=lambda rank, world: batches(trained_on, rank, world),
        validation=lambda rank, world: list(islice(batches(validated, rank, world), options.validate_batches)),
        row_tokens=max(1, round(float(np.mean([len(ids) for ids, _ in examples])))),
        facts={"model": "slue", "data": [manifest.read(storage.join(run, "tokens")).content for run in data],
               "labels": manifest.digest({id: labels[id] for id in known})},
        finish=finish,
    )  # fmt: skip


def _check_lengths(ids: list[str], examples: list[Example], limit: int, options: SlueOptions) -> None:
    """Refuse examples longer than the context.

    Raises:
        ConfigError: naming the first one.
    """
    for id, (tokens, after) in zip(ids, examples, strict=True):
        length = len(tokens) + (len(after) if options.task == "ner" else 0)
        if length > limit:
            raise ConfigError(f"{id!r} has {length} tokens, the context of {options.init} is {limit}; leave it out")


def check_run(run: str, vocabulary: str, model: str) -> None:
    """Refuse tokens of another vocabulary than the model's.

    Raises:
        StaleArtifact: naming both.
    """
    found = manifest.read(storage.join(run, "tokens")).extra.get("vocabulary", vocabulary)
    if found != vocabulary:
        raise StaleArtifact(f"{run} was made with vocabulary {found[:12]}, {model} knows {vocabulary[:12]}")
