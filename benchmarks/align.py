"""How exact and how fast the aligner without download is, on speech with known word times.

    python benchmarks/align.py [--data ../shared/data] [sets ...]

For each set: words, share timed, share of word starts within 50 and 100 ms of the labels, median error, processor
seconds for a second of speech, peak memory. Words that the labels mark as unknown to their own aligner are left out.
`timit-sample` is labelled by hand, `ljspeech-aligned` and `longform` by MFA.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from speechprep.artifacts.media import audio
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner

SETS = ("timit-sample", "ljspeech-aligned", "longform")


def measure(folder: Path, aligner: PocketSphinxAligner) -> dict[str, float]:
    errors, timed, words, seconds, cpu = [], 0, 0, 0.0, 0.0
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        if not row.get("words"):
            continue
        samples = audio.decode(folder / row["audio"], sample_rate=aligner.sample_rate)
        text = " ".join(word["w"] for word in row["words"])
        started = time.process_time()
        found = aligner.align(samples, text).words
        cpu += time.process_time() - started
        seconds += len(samples) / aligner.sample_rate
        words += len(row["words"])
        timed += sum(word.timing == "aligned" for word in found)
        pairs = zip(found, row["words"], strict=True)
        errors += [word.start - label["start"] for word, label in pairs if not label.get("oov")]
    off = np.array(errors)
    return {
        "words": words,
        "timed %": 100 * timed / words,
        "<= 50 ms %": 100 * np.mean(np.abs(off) <= 0.05),
        "<= 100 ms %": 100 * np.mean(np.abs(off) <= 0.1),
        "median ms": 1000 * float(np.median(off)),
        "cpu s / s": cpu / seconds,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--window", type=float, default=30.0)
    args = parser.parse_args()
    aligner = PocketSphinxAligner(window=args.window)
    aligner.load()
    for name in args.sets:
        found = measure(args.data / name, aligner)
        print(f"{name:18}" + "   ".join(f"{key} {value:.4g}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
