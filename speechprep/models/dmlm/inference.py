"""Inference with a trained DMLM: transcripts, translations and captions."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from speechprep.errors import StaleArtifact
from speechprep.models.devices import device
from speechprep.models.dmlm.config import DmlmConfig
from speechprep.models.dmlm.corpus import Corpus, load
from speechprep.models.dmlm.model import DmlmForCausalLM
from speechprep.models.dmlm.task_sequences import TaskSequences, task_token
from speechprep.models.dmlm.text_tokenizer import TextTokenizer, load_tokenizer
from speechprep.models.generation import Decoding, allowed_tokens, generate
from speechprep.models.split import unseen_of


def load_model(folder: str) -> tuple[DmlmForCausalLM, TextTokenizer]:
    """A trained model and its text tokenizer, on a GPU if one is available.

    Raises:
        StaleArtifact: the folder has no trained DMLM.
    """

    if not (Path(folder) / "text").is_dir():
        raise StaleArtifact(f"{folder} contains no trained DMLM; finish 'speechprep train dmlm --out {folder}'")
    model = DmlmForCausalLM.from_pretrained(folder).eval()
    return model.to(device()), load_tokenizer(f"{folder}/text")


def load_corpus(
    model: DmlmForCausalLM,
    text: TextTokenizer,
    runs: Sequence[str],
    *,
    split: str | None = None,
    ids: Container[str] | None = None,
) -> Corpus:
    """The corpus of runs, checked against the codebooks of a model. With `ids`, only these items.

    Raises:
        StaleArtifact: units or image codes of another codebook than in training; the message names both.
    """
    config = model.config
    corpus = load(runs, text, split=split, dedup=config.dedup, ids=ids)
    for name, codebook, trained in (
        ("units", corpus.codebook, config.codebook),
        ("image codes", corpus.image_codes, config.image_codes),
    ):
        if codebook and codebook != trained:
            expected = f"codebook {trained[:12]}" if trained else "no " + name
            raise StaleArtifact(
                f"{name} in {', '.join(runs)} have codebook {codebook[:12]}, the model was trained on {expected}; "
                f"make the {name} with the codebook of the model"
            )
    return corpus


def generate_texts(
    model: DmlmForCausalLM,
    text: TextTokenizer,
    corpus: Corpus,
    name: str,
    how: Decoding,
    *,
    unseen: bool = False,
    batch: int = 16,
) -> dict[str, str]:
    """Generated text by id, for a task with text output: asr, s2tt_xx or i2t.

    The logits of all tokens except text and </TEXT> are masked. Rows of OPT without a token are masked too.

    Args:
        model, text: result of `load_model`.
        corpus: result of `load_corpus`.
        name: name of the task.
        how: decoding options.
        unseen: only items excluded from training.
        batch: number of items in a batch.

    Raises:
        ConfigError: the model was not trained on the task, or the corpus has no item for it.
    """
    config = cast(DmlmConfig, model.config)
    config.token(task_token(name))  # raises ConfigError for a task without a token
    selects = unseen_of(config.held_out) if unseen else None
    task = TaskSequences(name, corpus, config, needs_target=False, selects=selects)
    close = config.token("</TEXT>")
    allowed = allowed_tokens(config.vocab_size, [], [close, *text.text_ids.tolist()])
    prompts = [task.prompt(i) for i in range(len(task))]
    outputs = generate(model, prompts, allowed, close, how, keys=task.ids, batch=batch)
    return {id: text.decode(ids) for id, ids in zip(task.ids, outputs, strict=True)}


def unit_transcriber(folder: str, vocab: Any, codebook: str) -> Callable[[Sequence[Sequence[int]]], list[str]]:
    """Transcriber of unit tokens of a joint vocabulary by a DMLM with the task asr.

    Args:
        folder: folder of the trained DMLM.
        vocab: joint vocabulary of the unit tokens.
        codebook: codebook of the units; "" if unknown.

    Raises:
        StaleArtifact: another codebook, or a DMLM trained on units with repeats.
        ConfigError: a DMLM without the task asr.
    """
    model, text = load_model(folder)
    config = cast(DmlmConfig, model.config)
    config.token(task_token("asr"))
    if codebook and config.codebook != codebook:
        raise StaleArtifact(
            f"{folder} was trained on codebook {config.codebook[:12]}, the units are of {codebook[:12]}; use a "
            "transcriber with the codebook of the model"
        )
    if not config.dedup:
        raise StaleArtifact(f"{folder} was trained on units with repeats; train the transcriber with dedup=true")

    def transcribe(units: Sequence[Sequence[int]]) -> list[str]:
        parts = [vocab.decode_units(np.asarray(ids, np.int64)) for ids in units]
        spoken = {i: part for i, part in enumerate(parts) if len(part)}
        close = config.token("</TEXT>")
        allowed = allowed_tokens(config.vocab_size, [], [close, *text.text_ids.tolist()])
        start = config.ranges["speech"][0]
        opened = [config.eos_token_id, config.token(task_token("asr")), config.token("<SPEECH>")]
        ends = [config.token("</SPEECH>"), config.token("<TEXT>")]
        prompts = [[*opened, *(part.astype(np.int64) + start).tolist(), *ends] for part in spoken.values()]
        outputs = generate(model, prompts, allowed, close, Decoding(max_new_tokens=128))
        texts = dict(zip(spoken, (text.decode(ids) for ids in outputs), strict=True))
        return [texts.get(i, "") for i in range(len(parts))]

    return transcribe
