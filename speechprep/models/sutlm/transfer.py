"""SLUE transfer matrix: models fine-tuned on speech or text, evaluated on speech and on text (arXiv 2310.08715)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechprep.errors import BadInput, StaleArtifact
from speechprep.models.devices import device
from speechprep.models.evaluation import scorer
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.score import Score
from speechprep.models.generation import Decoding, allowed_tokens, generate
from speechprep.models.sutlm.classify import SutlmForSequenceClassification
from speechprep.models.sutlm.finetune import Modality, check_run, collate, read_inputs, read_labels, tagging_prompt
from speechprep.models.sutlm.load import load_config, load_model
from speechprep.models.training.run import PLAN

MODALITIES: tuple[Modality, ...] = ("speech", "text")


def transfer(
    folders: Sequence[str], run: str, labels: str, *, column: str | None = None
) -> list[tuple[str, str, Score]]:
    """Scores of fine-tuned models in each modality.

    Args:
        folders: models trained by `train slue` on one task.
        run: run folder with `tokens`.
        labels: file of the true labels or tagged texts; only its ids are evaluated.
        column: column of the labels; None: the default of the task.

    Returns:
        (modality of the fine-tuning, modality of the evaluation, score), in the order of the models.

    Raises:
        StaleArtifact: a folder without a finished fine-tuning, or a run with another vocabulary.
        BadInput: no id of the file is in the run.
    """
    cells: list[tuple[str, str, Score]] = []
    for folder in folders:
        plan = Path(folder) / PLAN
        if not plan.exists() or "task" not in (options := json.loads(plan.read_text(encoding="utf-8"))["options"]):
            raise StaleArtifact(f"{folder} contains no fine-tuned SUTLM; finish 'speechprep train slue --out {folder}'")
        true = read_labels(labels, options["task"], column)
        for modality in MODALITIES:
            predictions = predict(folder, options["task"], run, modality, true)
            references = {id: true[id] for id in predictions}
            score = scorer(f"slue-{options['task']}")(references, predictions, bootstrap=Bootstrap())
            cells.append((options["modality"], modality, score))
    return cells


def predict(folder: str, task: str, run: str, modality: Modality, ids: Any, batch: int = 16) -> dict[str, str]:
    """Predicted labels or tagged texts by id, for the utterances of a run in `ids`."""
    import torch

    config, vocab = load_config(folder)
    check_run(run, config.vocabulary, folder)
    inputs = {id: tokens for id, tokens in read_inputs(run, modality).items() if id in ids}
    if not inputs:
        raise BadInput("no_labels", f"no utterance of {run} has a label; give a file with the ids of this run")
    names = sorted(inputs)
    if task == "ner":
        trained, stop = load_model(folder)[0], vocab.t_end
        allowed = allowed_tokens(config.vocab_size, [config.ranges["text"]], [stop])
        prompts = [tagging_prompt(inputs[id], vocab) for id in names]
        outputs = generate(trained, prompts, allowed, stop, Decoding(max_new_tokens=256), keys=names, batch=batch)
        return {id: vocab.decode_text(tokens).strip() for id, tokens in zip(names, outputs, strict=True)}
    model = SutlmForSequenceClassification.from_pretrained(folder).eval().to(device())
    predictions = {}
    with torch.no_grad():
        for at in range(0, len(names), batch):
            part = names[at : at + batch]
            rows = collate([(inputs[id], 0) for id in part], vocab.pad)
            best = model(rows["input_ids"].to(model.device), rows["lengths"].to(model.device)).logits.argmax(-1)
            predictions.update({id: config.labels[i] for id, i in zip(part, best.tolist(), strict=True)})
    return predictions
