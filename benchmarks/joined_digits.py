"""A corpus of joined spoken digits, for the positive control of `docs/experiments/teachme.md`.

python benchmarks/joined_digits.py FSDD_FOLDER OUT_FOLDER [--train 800] [--test 200]

Each clip has four digits of one speaker in slots of equal length (0.64 s), so all clips have one duration, 2.56 s.
Clips of `OUT_FOLDER/test` use the last recording of each digit and speaker, clips of `OUT_FOLDER/train` the others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE, SLOT, LENGTH = 16_000, 10_240, 4
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def recordings(folder: Path) -> dict[tuple[str, int], list[np.ndarray]]:
    """(speaker, digit) -> recordings at 16 kHz, of equal power, cut to a slot."""
    takes: dict[tuple[str, int], list[np.ndarray]] = {}
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        wave, rate = soundfile.read(folder / row["audio"], dtype="float32")
        wave = soxr.resample(wave, rate, RATE)
        wave = wave / np.sqrt((wave**2).mean()) * 0.05
        takes.setdefault((row["speaker"], int(row["labels"][0])), []).append(wave[:SLOT])
    return takes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fsdd", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=800)
    parser.add_argument("--test", type=int, default=200)
    options = parser.parse_args()
    takes = recordings(options.fsdd)
    speakers = sorted({speaker for speaker, _ in takes})
    rng = np.random.default_rng(0)
    rows: dict[str, list[dict]] = {"train": [], "test": []}
    for split in rows:
        (options.out / split).mkdir(parents=True)
    for number in range(options.train + options.test):
        test = number >= options.train
        speaker = speakers[rng.integers(len(speakers))]
        digits = rng.integers(0, 10, LENGTH)
        wave = rng.normal(0, 1e-4, SLOT * LENGTH).astype(np.float32)
        for place, digit in enumerate(digits):
            pool = takes[speaker, digit]
            take = pool[-1] if test else pool[rng.integers(len(pool) - 1)]
            at = place * SLOT + rng.integers(SLOT - len(take) + 1)
            wave[at : at + len(take)] += take
        split = "test" if test else "train"
        id = f"{split}-{number:04d}"
        soundfile.write(options.out / split / f"{id}.flac", wave, RATE)
        text = " ".join(NAMES[digit] for digit in digits)
        rows[split].append({"id": id, "audio": f"{id}.flac", "text": text, "speaker": speaker})
    for split, members in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in members)
        (options.out / split / "manifest.jsonl").write_text(lines)


if __name__ == "__main__":
    main()
