"""Positive control of context retrieval: progressions of digits, spoken by synthetic phones, and written.

    python benchmarks/cra_control.py train OUT.jsonl [--arms ast,cst,..] [--seeds 0,1,2] [--updates 2000]
    python benchmarks/cra_control.py table OUT.jsonl
    python benchmarks/cra_control.py oracles

An item is a progression (start, step) modulo 10 of 8 to 12 digits. A digit has three phones, and each of two voices has
its own unit for each phone. 30 of the 90 progressions are held out; their digits occur in training, their (start, step)
does not. Candidates are the 30 held-out progressions by the same voice and with the same number of digits, so corpus,
speaker and lengths say nothing. Chance is 1/30.

Arms: `ast`, `cst`, `mixture` (both) have a third each of unit rows, text rows and joint rows. Controls: `speech`,
`text`, `unpaired` (unit and text rows without joint rows), `shuffled` (the mixture with the text of another
progression), `random` (no update).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from speechprep.models.decoder import opt_config
from speechprep.models.evaluation.context_pairs import Half, prompt
from speechprep.models.evaluation.retrieval.cra import fixed_threads
from speechprep.models.evaluation.retrieval.likelihoods import MEASURES, likelihoods
from speechprep.models.evaluation.retrieval.significance import holm, permutation_p
from speechprep.models.sutlm.config import SutlmConfig
from speechprep.models.sutlm.model import SutlmForCausalLM

MARKERS = {"u_start": 4, "u_end": 5, "t_start": 6, "t_end": 7, "u2t": 8, "t2u": 9}
TEXT, UNITS, SIZE = 16, 26, 26 + 60
SHORTEST, LONGEST, LENGTH, HELD, VOICES = 8, 12, 10, 30, 2
PROGRESSIONS = [(start, step) for start in range(10) for step in range(1, 10)]
random.Random(1).shuffle(PROGRESSIONS)
TEST, TRAIN = PROGRESSIONS[:HELD], PROGRESSIONS[HELD:]
KINDS = {
    "ast": ("unit", "text", "ast"), "cst": ("unit", "text", "cst"), "mixture": ("unit", "text", "cst", "ast"),
    "shuffled": ("unit", "text", "cst", "ast"), "unpaired": ("unit", "text"), "speech": ("unit",), "text": ("text",),
}  # fmt: skip
CONTROLS = ("speech", "text", "unpaired", "shuffled", "random")
ARMS = ("ast", "cst", "mixture", *CONTROLS)
CELLS = {  # name -> direction, join, whether the continuation is the first half in the other modality
    "u2u": ("u2u", "ast", False), "t2t": ("t2t", "ast", False), "u2t AST join": ("u2t", "ast", False),
    "t2u AST join": ("t2u", "ast", False), "u2t CST join": ("u2t", "cst", False),
    "t2u CST join": ("t2u", "cst", False), "transcript u2t": ("u2t", "cst", True),
    "transcript t2u": ("t2u", "cst", True),
}  # fmt: skip
CROSS = tuple(name for name in CELLS if name not in ("u2u", "t2t"))
SHAPE = {"batch": 16, "lr": 3e-3, "warmup": 30}


def digits(progression: tuple[int, int], n: int) -> list[int]:
    start, step = progression
    return [(start + step * i) % 10 for i in range(n)]


def spoken(numbers: list[int], voice: int) -> list[int]:
    return [UNITS + 6 * digit + 2 * phone + voice for digit in numbers for phone in range(3)]


def written(numbers: list[int]) -> list[int]:
    return [TEXT + digit for digit in numbers]


def row(arm: str, draw: random.Random) -> list[int]:
    """One training row."""
    kind, progression = draw.choice(KINDS[arm]), draw.choice(TRAIN)
    n, voice = draw.randint(SHORTEST, LONGEST), draw.randrange(VOICES)
    said = digits(progression, n)
    if kind == "unit":
        return [MARKERS["u_start"], *spoken(said, voice), MARKERS["u_end"]]
    if kind == "text":
        return [MARKERS["t_start"], *written(said), MARKERS["t_end"]]
    noted = digits(draw.choice(TRAIN), n) if arm == "shuffled" else said
    speech_first = draw.random() < 0.5
    if kind == "cst":
        halves = [MARKERS["u_start"], *spoken(said, voice), MARKERS["u_end"]], [
            MARKERS["t_start"], *written(noted), MARKERS["t_end"],
        ]  # fmt: skip
        return halves[0] + halves[1] if speech_first else halves[1] + halves[0]
    ids, at, speech = [MARKERS["u_start" if speech_first else "t_start"]], 0, speech_first
    while at < n:
        end = min(n, at + draw.randint(2, 6))
        ids += [MARKERS["t2u" if speech else "u2t"]] if at else []
        ids += spoken(said[at:end], voice) if speech else written(noted[at:end])
        at, speech = end, not speech
    return [*ids, MARKERS["t_end" if speech else "u_end"]]


def build() -> SutlmForCausalLM:
    shape = opt_config("tiny", SIZE, 128, dropout=0.0, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    ranges = {"special": [0, TEXT], "text": [TEXT, UNITS], "unit": [UNITS, SIZE]}
    return SutlmForCausalLM(SutlmConfig(decoder=shape, ranges=ranges, markers=MARKERS))


def train(arm: str, seed: int, updates: int) -> tuple[SutlmForCausalLM, float]:
    """A trained model, and its last loss."""
    torch.manual_seed(seed)
    model, draw, loss = build().train(), random.Random(seed), torch.tensor(float("nan"))
    if arm == "random":
        return model.eval(), float(loss)
    optimizer = torch.optim.AdamW(model.parameters(), lr=SHAPE["lr"], betas=(0.9, 0.95), weight_decay=0.01)
    for step in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = SHAPE["lr"] * min(1.0, (step + 1) / SHAPE["warmup"]) * (1 - step / updates)
        rows = [row(arm, draw) for _ in range(int(SHAPE["batch"]))]
        width = max(map(len, rows))
        ids = torch.tensor([r + [0] * (width - len(r)) for r in rows])
        labels = torch.tensor([r + [-100] * (width - len(r)) for r in rows])
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval(), float(loss.detach())


def winners(model: SutlmForCausalLM) -> dict[str, dict[str, list[list[int]]]]:
    """Cell -> measure -> (voices, held-out progressions) winning contexts."""
    cut, needed = LENGTH // 2, np.ones((HELD, HELD), bool)
    found: dict[str, dict[str, list[list[int]]]] = {name: {measure: [] for measure in MEASURES} for name in CELLS}
    for name, (direction, join, own) in CELLS.items():
        speech = direction[2] == "u"
        for voice in range(VOICES):
            halves = [(digits(p, LENGTH)[:cut], digits(p, LENGTH)[cut:]) for p in TEST]
            contexts = [
                prompt(Half(np.array(spoken(a, voice)), np.array(written(a)), ""), direction, join, MARKERS)
                for a, _ in halves
            ]
            after = [a if own else b for a, b in halves]
            follow = [spoken(x, voice) if speech else written(x) for x in after]
            tables = likelihoods(model, contexts, follow, needed, (UNITS, SIZE) if speech else (TEXT, UNITS))
            for measure in MEASURES:
                found[name][measure].append(getattr(tables, measure).argmax(1).tolist())
    return found


def run(out: str, arms: list[str], seeds: list[int], updates: int, threads: int) -> None:
    for seed in seeds:
        for arm in arms:
            began = time.process_time()
            with fixed_threads(threads):
                model, loss = train(arm, seed, updates)
                found = winners(model)
            line = {"arm": arm, "seed": seed, "updates": updates if arm != "random" else 0, "threads": threads,
                    "loss": loss if loss == loss else None, "cpu_s": round(time.process_time() - began, 1),
                    "winners": found}  # fmt: skip
            with Path(out).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            shares = "  ".join(f"{name} {share(found[name]['renormalised']):.0f}" for name in CELLS)
            print(f"{arm:8} seed {seed}  {line['cpu_s']} CPU s  {shares}", flush=True)


def share(won: list[list[int]]) -> float:
    """Accuracy in %."""
    return float(100 * (np.array(won) == np.arange(HELD)).mean())


def table(path: str) -> None:
    """Accuracies in % over voices and seeds, 95 % bootstrap over progressions, and p values by permutation."""
    by_arm = defaultdict(list)
    for line in map(json.loads, Path(path).read_text(encoding="utf-8").splitlines()):
        by_arm[line["arm"]].append(line)
    tests = []
    picks = np.random.default_rng(0).integers(0, HELD, (5000, HELD))
    for arm, lines in sorted(by_arm.items(), key=lambda item: ARMS.index(item[0])):
        seeds = ", ".join(str(line["seed"]) for line in lines)
        print(f"\n{arm}: n = {HELD} progressions x {VOICES} voices x seeds {seeds}")
        for measure in MEASURES:
            for name in CELLS:
                won = np.concatenate([np.array(line["winners"][name][measure]) for line in lines]).T
                right = (won == np.arange(HELD)[:, None]).mean(1)
                low, high = np.quantile(right[picks].mean(1), [0.025, 0.975]) * 100
                p = permutation_p(won)
                each = "/".join(f"{share(line['winners'][name][measure]):.0f}" for line in lines)
                figure = f"{100 * right.mean():5.1f} [{low:.1f}, {high:.1f}]"
                print(f"  {measure:12} {name:15} {figure}  by seed {each}  p {p:.4f}")
                if arm in CONTROLS and name in CROSS and measure == "renormalised":
                    tests.append((p, f"{arm} {name}"))
    if tests:
        adjusted = holm([p for p, _ in tests])
        smallest = min(range(len(tests)), key=lambda i: tests[i][0])
        print(f"\n{len(tests)} control cells, renormalised: smallest p {tests[smallest][0]:.4f} "
              f"({tests[smallest][1]}), {adjusted[smallest]:.3f} after Holm")  # fmt: skip


def oracles() -> dict[str, float]:
    """Accuracy in % of scores with partial knowledge."""
    cut = LENGTH // 2
    halves = [(digits(p, LENGTH)[:cut], digits(p, LENGTH)[cut:]) for p in TEST]

    def accuracy(score) -> float:
        values = np.array([[score(i, j) for j in range(HELD)] for i in range(HELD)], float)
        best = values == values.max(1, keepdims=True)
        return float(100 * np.mean([best[i, i] / best[i].sum() for i in range(HELD)]))

    def step(i: int) -> int:
        return TEST[i][1]

    def follows(i: int, j: int) -> bool:
        return (halves[j][0][-1] + step(j)) % 10 == halves[i][1][0]

    return {
        "chance": 100 / HELD,
        "cra: digits in common": accuracy(lambda i, j: sum(d in halves[j][0] for d in halves[i][1])),
        "cra: step only": accuracy(lambda i, j: step(i) == step(j)),
        "cra: next digit only": accuracy(follows),
        "transcript: first digit only": accuracy(lambda i, j: halves[i][0][0] == halves[j][0][0]),
        "transcript: set of digits": accuracy(lambda i, j: -len(set(halves[i][0]) ^ set(halves[j][0]))),
        "corpus, speaker or lengths": accuracy(lambda i, j: 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "table", "oracles"))
    parser.add_argument("out", nargs="?")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if given.what == "oracles":
        for name, value in oracles().items():
            print(f"{name:30} {value:5.1f}")
    elif given.what == "table":
        table(given.out)
    else:
        seeds = [int(seed) for seed in given.seeds.split(",")]
        run(given.out, given.arms.split(","), seeds, given.updates, given.threads)


if __name__ == "__main__":
    main()
