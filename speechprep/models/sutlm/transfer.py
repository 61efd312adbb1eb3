"""The transfer matrix of SLUE: models fine-tuned on speech or text, asked in speech and in text (arXiv 2310.08715)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechprep.errors import BadInput, StaleArtifact
from speechprep.models.evaluation import scorer
from speechprep.models.evaluation.bootstrap import Bootstrap
from speechprep.models.evaluation.score import Score
from speechprep.models.generation import Decoding, allowed_tokens, generate
from speechprep.models.sutlm.classify import SutlmForSequenceClassification
from speechprep.models.sutlm.finetune import Modality, asked, check_run, collate, read_inputs, read_labels
from speechprep.models.sutlm.load import device, load_config, load_model
from speechprep.models.training.run import PLAN

MODALITIES: tuple[Modality, ...] = ("speech", "text")


def transfer(
    folders: Sequence[str], run: str, labels: str, *, column: str | None = None
) -> list[tuple[str, str, Score]]:
    """(trained on, asked in, score) of each model in each modality.

    Args:
        folders: models from `train slue`, of one task.
        run: folder with `tokens` to ask about.
        labels: file of the true labels or tagged texts; only its ids are evaluated.
        column: of the labels.

    Raises:
        StaleArtifact: a folder without a finished fine-tuning, or a run of another vocabulary.
        BadInput: no id of the file is in the run.
    """
    found: list[tuple[str, str, Score]] = []
    for folder in folders:
        plan = Path(folder) / PLAN
        if not plan.exists() or "task" not in (options := json.loads(plan.read_text(encoding="utf-8"))["options"]):
            raise StaleArtifact(f"{folder} holds no fine-tuned SUTLM; finish 'speechprep train slue --out {folder}'")
        right = read_labels(labels, options["task"], column)
        for modality in MODALITIES:
            said = predict(folder, options["task"], run, modality, right)
            wanted = {id: right[id] for id in said}
            score = scorer(f"slue-{options['task']}")(wanted, said, bootstrap=Bootstrap())
            found.append((options["modality"], modality, score))
    return found


def predict(folder: str, task: str, run: str, modality: Modality, ids: Any, batch: int = 16) -> dict[str, str]:
    """Predicted labels, or tagged texts, of the utterances of a run in `ids`."""
    import torch

    config, vocab = load_config(folder)
    check_run(run, config.vocabulary, folder)
    inputs = {id: tokens for id, tokens in read_inputs(run, modality).items() if id in ids}
    if not inputs:
        raise BadInput("no_labels", f"no utterance of {run} has a label; ids must be those of the run")
    names = sorted(inputs)
    if task == "ner":
        trained, stop = load_model(folder)[0], vocab.t_end
        allowed = allowed_tokens(config.vocab_size, [config.ranges["text"]], [stop])
        prompts = [asked(inputs[id], vocab) for id in names]
        made = generate(trained, prompts, allowed, stop, Decoding(max_new_tokens=256), keys=names, batch=batch)
        return {id: vocab.decode_text(tokens).strip() for id, tokens in zip(names, made, strict=True)}
    model = SutlmForSequenceClassification.from_pretrained(folder).eval().to(device())
    said = {}
    with torch.no_grad():
        for at in range(0, len(names), batch):
            part = names[at : at + batch]
            rows = collate([(inputs[id], 0) for id in part], vocab.pad)
            best = model(rows["input_ids"].to(model.device), rows["lengths"].to(model.device)).logits.argmax(-1)
            said.update({id: config.labels[i] for id, i in zip(part, best.tolist(), strict=True)})
    return said
