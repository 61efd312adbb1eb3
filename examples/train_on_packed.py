"""Trains a tiny causal language model on the `packed` dataset with plain transformers, and shows the loss fall.

    speechprep demo --out run
    python examples/train_on_packed.py --data run/packed --steps 300

A row of `packed` holds `input_ids`, `document_ids` (0, 0, .. 1, 1, ..; -1 on padding) and `modality_ids`, all of one
length. So a batch needs no collator: stack the rows, keep attention inside each document, and count the loss of each
modality by itself. The demo corpus is so small that the model learns it by heart: the fall shows that the shards fit a
trainer, not that the model is good. Needs: pip install 'speechprep[hf]'. Nothing of speechprep is imported.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import torch
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

MODALITIES = ("special", "text", "unit", "switch")  # what the codes in `modality_ids` stand for
COLUMNS = ("input_ids", "document_ids", "modality_ids")


@dataclass
class Step:
    """One step of training: mean loss over all predicted tokens, and over those of each modality (nats)."""

    number: int
    loss: float
    by_modality: dict[str, float]


def load(folder: Path) -> dict[str, torch.Tensor]:
    """Read all shards into three (rows, length) int64 tensors.

    Fine for a demo. A corpus that does not fit in memory is streamed instead, in the same columns:
    `datasets.load_dataset("parquet", data_files=..., streaming=True)`.
    """
    table = ds.dataset([str(path) for path in sorted(folder.glob("part-*.parquet"))]).to_table(list(COLUMNS))
    return {name: torch.from_numpy(np.stack(table[name].to_numpy()).astype(np.int64)) for name in COLUMNS}


def vocabulary_size(folder: Path) -> int:
    """Size of the joint vocabulary, from the `subword` folder that lies beside `packed`."""
    return int(json.loads((folder / "vocab.json").read_text(encoding="utf-8"))["size"])


def document_mask(document_ids: torch.Tensor) -> torch.Tensor:
    """(rows, length) -> (rows, 1, length, length): True where a position may look at an earlier one of its document."""
    same = document_ids[:, :, None] == document_ids[:, None, :]
    return same.tril()[:, None]


def positions(document_ids: torch.Tensor) -> torch.Tensor:
    """(rows, length) -> (rows, length): 0, 1, 2, .. from the start of each document."""
    index = torch.arange(document_ids.shape[1]).expand_as(document_ids)
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return index - torch.where(begins, index, 0).cummax(dim=1).values


def token_losses(model: GPT2LMHeadModel, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of every token that has a predecessor in its own document, and the modality of that token; both 1-d."""
    documents = batch["document_ids"]
    logits = model(
        batch["input_ids"], attention_mask=document_mask(documents), position_ids=positions(documents), use_cache=False
    ).logits
    predicted = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    targets = batch["input_ids"][:, 1:][predicted]
    return cross_entropy(logits[:, :-1][predicted], targets, reduction="none"), batch["modality_ids"][:, 1:][predicted]


def draw_batch(
    data: dict[str, torch.Tensor], rows: int, length: int, draw: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Draw `rows` rows and cut a window of `length` tokens from them: a whole row is more than a CPU does quickly."""
    count, full = data["input_ids"].shape
    start = int(draw.integers(full - length + 1))
    chosen = torch.from_numpy(draw.integers(count, size=rows))
    return {name: column[chosen, start : start + length] for name, column in data.items()}


def train(
    data: dict[str, torch.Tensor], vocabulary: int, steps: int, rows: int = 4, length: int = 256, seed: int = 0
) -> list[Step]:
    """Train a GPT-2 of two layers; returns what each step saw before its update."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    length = min(length, data["input_ids"].shape[1])
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=length, n_embd=128, n_layer=2, n_head=4, attn_implementation="sdpa"
    )
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps + 1, pct_start=0.1)
    history = []
    for number in range(1, steps + 1):
        losses, modalities = token_losses(model, draw_batch(data, rows, length, draw))
        optimizer.zero_grad()
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seen = {name: losses[modalities == code] for code, name in enumerate(MODALITIES)}
        means = {name: part.mean().item() for name, part in seen.items() if len(part)}
        history.append(Step(number, losses.mean().item(), means))
        if number == 1 or number % 25 == 0:
            print(
                f"step {number:4d}  loss {history[-1].loss:6.3f}  "
                + "  ".join(f"{k} {v:.3f}" for k, v in means.items())
            )
    return history


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the `packed` folder of a run")
    parser.add_argument(
        "--vocabulary", type=Path, help="the folder with its vocab.json (default: `subword` beside --data)"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", type=int, default=4, help="rows of each step")
    parser.add_argument("--length", type=int, default=256, help="tokens of each row that a step looks at")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = load(arguments.data)
    size = vocabulary_size(arguments.vocabulary or arguments.data.parent / "subword")
    shape = tuple(data["input_ids"].shape)
    print(f"{shape[0]} rows of {shape[1]} tokens, vocabulary of {size} (uniform guessing: {np.log(size):.3f})")
    began = time.process_time()
    history = train(data, size, arguments.steps, arguments.rows, arguments.length, arguments.seed)
    last = np.mean([step.loss for step in history[-10:]])
    print(f"loss {history[0].loss:.3f} -> {last:.3f} in {time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
