"""How well `trust` and `local_score` tell wrong word times from right ones, on real speech that is spoilt on purpose.

    python benchmarks/trust.py [--data ../shared/data] [sets ...]

Each set is aligned with its own transcripts (right), then spoilt:

* `shifted`: all words from a random one on by 0.5 to 20 s, forward or back; the aligner's scores stay, as they do where
  a chunk is misplaced. `in long`: in six utterances joined. `small shift`: by 0.2 to 0.5 s.
* `pulled`: the same with no gap left, the word before is stretched and those behind it hurry to the end.
* `swapped`: another utterance's transcript, aligned.
* `text lacks a third`, `audio lacks a third`: the middle is dropped, the rest aligned.

For each: the share found where 5 % of the right ones are flagged, by trust alone and by either score at 2.5 % each;
and the share with a trust below 0.5.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from speechprep.artifacts.media import audio
from speechprep.errors import BadInput
from speechprep.pipelines.backends import Transcript, Word
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.stages.align import Config, monotone, words_row
from speechprep.tokenizers.alignment.plausibility import FramePower

RATE = 16_000
SETS = ("librispeech-mini", "ljspeech-aligned", "timit-sample", "librispeech-other", "noisy")


def scores(words: list[Word] | None, samples: np.ndarray) -> tuple[float, float]:
    """(trust, local_score); both at the bottom where the aligner refused."""
    if not words:
        return 0.0, -np.inf
    levels = FramePower(RATE)
    levels.add(samples)
    duration = len(samples) / RATE
    transcript = Transcript(" ".join(w.text for w in words), monotone(words, duration))
    row = words_row(Config(), {"id": "", "text": None}, transcript, duration, levels.power())
    return row["trust"], row["local_score"]


def moved(words: list[Word], by: float, start: int = 0) -> list[Word]:
    return [w if i < start else replace(w, start=w.start + by, end=w.end + by) for i, w in enumerate(words)]


def shifted(words: list[Word], rng: np.random.Generator, low: float = 0.5, high: float = 20.0) -> list[Word]:
    by = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * (1 if rng.random() < 0.5 else -1)
    return moved(words, by, int(rng.integers(1, max(len(words) - 2, 2))))


def pulled(words: list[Word], rng: np.random.Generator, duration: float) -> list[Word]:
    """No gap is left: the word before the break is stretched, those behind it run faster to the end."""
    at = int(rng.integers(1, max(len(words) - 2, 2)))
    t, end = words[at].start, words[-1].end
    by = min(float(np.exp(rng.uniform(np.log(0.5), np.log(20)))), 0.7 * (duration - t))
    pace = min(1.0, (duration - t - by) / max(end - t, 1e-3))

    def to(x: float) -> float:
        return t + by + (x - t) * pace

    tail = [replace(w, start=to(w.start), end=to(w.end)) for w in words[at:]]
    return [*words[: at - 1], replace(words[at - 1], end=to(t)), *tail]


def spoil(folder: Path, aligner: PocketSphinxAligner) -> dict[str, list[tuple[float, float]]]:
    """(trust, local_score) of each case, by kind."""

    def align(samples: np.ndarray, text: str) -> list[Word] | None:
        try:
            return aligner.align(samples, text).words
        except BadInput:
            return None

    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row.get("text")]
    rng = np.random.default_rng(0)
    found = defaultdict(list)
    joined: list[tuple[list[Word], np.ndarray]] = []
    for i, row in enumerate(rows):
        samples = audio.decode(folder / row["audio"], sample_rate=RATE)
        duration = len(samples) / RATE
        right = align(samples, row["text"])
        if not right or len(right) < 4:
            continue
        joined.append((right, samples))
        found["right"].append(scores(right, samples))
        found["shifted"] += [scores(shifted(right, rng), samples) for _ in range(4)]
        found["small shift"].append(scores(shifted(right, rng, 0.2, 0.5), samples))
        found["pulled"].append(scores(pulled(right, rng, duration), samples))
        found["swapped"].append(scores(align(samples, rows[(i + 7) % len(rows)]["text"]), samples))
        written = row["text"].split()
        if len(written) >= 9:
            a, b = len(written) // 3, 2 * len(written) // 3
            less = align(samples, " ".join(written[:a] + written[b:]))
            found["text lacks a third"].append(scores(less, samples))
            cut = np.concatenate((samples[: int(right[a].start * RATE)], samples[int(right[b - 1].end * RATE) :]))
            found["audio lacks a third"].append(scores(align(cut, row["text"]), cut))
    for i in range(0, len(joined) - 5, 6):
        words, parts, base = [], [], 0
        for right, samples in joined[i : i + 6]:
            words += moved(right, base / RATE)
            parts.append(samples)
            base += len(samples)
        long = np.concatenate(parts)
        found["right in long"].append(scores(words, long))
        found["shifted in long"] += [scores(shifted(words, rng), long) for _ in range(8)]
    return found


def show(name: str, found: dict[str, list[tuple[float, float]]]) -> None:
    right = np.array(found["right"])
    limit = np.quantile(right[:, 0], 0.05)
    halves = np.quantile(right, 0.025, axis=0)
    print(f"{name}: trust of 5 % of the right ones is below {limit:.2f}")
    for kind, cases in found.items():
        table = np.array(cases)
        by_trust, either = (table[:, 0] < limit).mean(), (table < halves).any(axis=1).mean()
        at_half = (table[:, 0] < 0.5).mean()
        print(f"  {kind:20} {len(table):5}  trust {by_trust:6.1%}  either {either:6.1%}  trust < 0.5 {at_half:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    args = parser.parse_args()
    aligner = PocketSphinxAligner()
    aligner.load()
    together = defaultdict(list)
    for name in args.sets:
        found = spoil(args.data / name, aligner)
        show(name, found)
        for kind, cases in found.items():
            together[kind] += cases
    if len(args.sets) > 1:
        show("together", together)


if __name__ == "__main__":
    main()
