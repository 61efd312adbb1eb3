"""Text from a trained DMLM: transcripts, translations, captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from speechprep.errors import StaleArtifact
from speechprep.models.dmlm.config import DmlmConfig
from speechprep.models.dmlm.corpus import Corpus, load
from speechprep.models.dmlm.model import DmlmForCausalLM
from speechprep.models.dmlm.task_sequences import Task, task_token
from speechprep.models.dmlm.text_tokenizer import Text, load_text
from speechprep.models.generation import Decoding, allowed_tokens, generate
from speechprep.models.split import unseen_of


def load_model(folder: str) -> tuple[DmlmForCausalLM, Text]:
    """A trained model and its text tokenizer, on a GPU where there is one.

    Raises:
        StaleArtifact: there is no trained DMLM in the folder.
    """
    import torch

    if not (Path(folder) / "text").is_dir():
        raise StaleArtifact(f"{folder} holds no trained DMLM; finish 'speechprep train dmlm --out {folder}'")
    model = DmlmForCausalLM.from_pretrained(folder).eval()
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), load_text(f"{folder}/text")


def load_corpus(model: DmlmForCausalLM, text: Text, runs: Sequence[str], *, split: str | None = None) -> Corpus:
    """The corpus of runs, for a model.

    Raises:
        StaleArtifact: units or image codes of another codebook than the model's; the message names both.
    """
    config = model.config
    found = load(runs, text, split=split, dedup=config.dedup)
    for what, have, wanted in (
        ("units", found.codebook, config.codebook),
        ("image codes", found.image_codes, config.image_codes),
    ):
        if have and have != wanted:
            known = f"codebook {wanted[:12]}" if wanted else "none"
            raise StaleArtifact(
                f"{what} in {', '.join(runs)} are of codebook {have[:12]}, the model was trained on {known}"
            )
    return found


def answers(
    model: DmlmForCausalLM,
    text: Text,
    corpus: Corpus,
    name: str,
    how: Decoding,
    *,
    unseen: bool = False,
    batch: int = 16,
) -> dict[str, str]:
    """Text by id, for a task with text output: asr, s2tt_xx or i2t. Only text and </TEXT> may come.

    Args:
        model, text: of `load_model`.
        corpus: of `load_corpus`.
        name: of the task.
        how: to decode.
        unseen: only items outside of the training.
        batch: items at a time.

    Raises:
        ConfigError: the model was not trained on the task, or the corpus has no item for it.
    """
    config = cast(DmlmConfig, model.config)
    config.token(task_token(name))  # or it is refused here
    task = Task(name, corpus, config, needs_answer=False, side=unseen_of(config) if unseen else None)
    close = config.token("</TEXT>")
    allowed = allowed_tokens(config.vocab_size, [config.ranges["text"]], [close])
    prompts = [task.prompt(i) for i in range(len(task))]
    made = generate(model, prompts, allowed, close, how, keys=task.ids, batch=batch)
    return {id: text.decode(ids) for id, ids in zip(task.ids, made, strict=True)}
