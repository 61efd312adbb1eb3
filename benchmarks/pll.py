"""Pseudo-log-likelihood of BLiMP sentences: `likelihood.pseudo_log_likelihoods` against the naive loop, at BERT-base.

python benchmarks/pll.py BLIMP_FOLDER [--pairs 20] [--size base] [--rounds 3] [--threads 2]

The naive loop runs one forward pass for each masked piece, with the logits of all positions. The second peer puts the
masked rows of one sentence into one batch, as the BabyLM evaluation of 2023 does. Weights are random: speed does not
depend on them. The three alternate in one process.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM

from speechprep.models.encoder.shapes import SIZES
from speechprep.models.evaluation.minimal_pairs.likelihood import Sentence, pseudo_log_likelihoods
from speechprep.models.evaluation.minimal_pairs.pairs import read_pairs

VOCABULARY, MASK = 30_522, 103


def sentences_of(folder: str, pairs: int) -> list[Sentence]:
    """One id for each word of the first pairs of a hash order, spread over the vocabulary."""
    rows, _ = read_pairs(folder)
    step = max(1, len(rows) // pairs)
    numbers: dict[str, int] = {}
    out = []
    for pair in rows[::step][:pairs]:
        for text in (pair.good, pair.bad):
            words = [*text.rstrip(".?").split(), text[-1]]
            ids = [999 + numbers.setdefault(word, len(numbers)) * 7 % 29_000 for word in words]
            out.append(Sentence((101, *ids, 102), tuple(range(1, len(ids) + 1))))
    return out


@torch.inference_mode()
def naive(model: BertForMaskedLM, sentences: list[Sentence], *, batched: bool) -> np.ndarray:
    """One forward pass for each piece, or for each sentence."""
    totals = []
    for sentence in sentences:
        rows = torch.tensor([sentence.ids] * len(sentence.scored), device=model.device)
        places = torch.tensor(sentence.scored, device=model.device)
        index = torch.arange(len(rows), device=model.device)
        rows[index, places] = MASK
        target = torch.tensor(sentence.ids, device=model.device)[places]
        parts = [slice(None)] if batched else [slice(i, i + 1) for i in range(len(rows))]
        total = 0.0
        for part in parts:
            logs = model(input_ids=rows[part]).logits.log_softmax(-1)
            total += float(logs[torch.arange(len(rows[part])), places[part], target[part]].double().sum()) / math.log(2)
        totals.append(total)
    return np.array(totals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("blimp")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--size", default="base", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = BertForMaskedLM(BertConfig(VOCABULARY, **SIZES[options.size])).eval().to(device)
    sentences = sentences_of(options.blimp, options.pairs)
    ways = {
        "naive loop": lambda: naive(model, sentences, batched=False),
        "a batch for each sentence": lambda: naive(model, sentences, batched=True),
        "speechprep": lambda: pseudo_log_likelihoods(model, sentences, MASK, batch_tokens=options.batch_tokens),
    }
    best, processor = dict.fromkeys(ways, math.inf), dict.fromkeys(ways, math.inf)
    values = {}
    for _ in range(options.rounds):
        for name, run in ways.items():
            began, cpu = time.perf_counter(), time.process_time()
            values[name] = run()
            best[name] = min(best[name], time.perf_counter() - began)
            processor[name] = min(processor[name], time.process_time() - cpu)
    rows = sum(len(sentence.scored) for sentence in sentences)
    print(f"{len(sentences)} sentences, {rows} masked rows, BERT-{options.size}, {device}, {options.threads} threads")
    for name, seconds in best.items():
        off = np.abs(values[name] - values["naive loop"]).max()
        ratio, cpu = best["naive loop"] / seconds, processor["naive loop"] / processor[name]
        print(
            f"{name:28s} {seconds:7.2f} s ({ratio:.2f} x)  {processor[name]:7.2f} s of processors ({cpu:.2f} x)  "
            f"largest difference {off:.1e} bits"
        )


if __name__ == "__main__":
    main()
