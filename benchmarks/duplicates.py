"""How many copies `dedup` finds by kind of copy, and how many pairs of different recordings it takes for copies.

`python benchmarks/duplicates.py DATA [--clips 20]`: DATA is a folder of sets, each with `manifest.jsonl` and its audio.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speechprep.pipelines.stages.dedup.stage import Config, audio_likeness
from speechprep.tokenizers.duplicates.audio_codes import RATE, Fingerprint, fingerprint
from speechprep.tokenizers.duplicates.pairs import bucket_pairs

SETS = ("librispeech-mini", "librispeech-other", "ljspeech-aligned", "timit-sample", "ravdess-emotion", "fsdd-digits")
NOISE = np.random.default_rng(0)
Samples = np.ndarray


def coded(audio: Samples, rate: int, form: str, subtype: str, level: float) -> tuple[Samples, int]:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=form, subtype=subtype, compression_level=level)
    file.seek(0)
    return soundfile.read(file, dtype="float32")


def noisy(audio: Samples, decibels: float) -> Samples:
    return audio + NOISE.normal(0, np.sqrt(np.mean(audio**2)) * 10 ** (-decibels / 20), len(audio)).astype(np.float32)


COPIES: dict[str, Callable[[Samples, int], tuple[Samples, int]]] = {
    "gain -20 dB, 16 bit": lambda x, r: (np.round(x * 3276.8) / np.float32(32768), r),
    "at 8 kHz": lambda x, r: (soxr.resample(x, r, 8_000), 8_000),
    "at 44.1 kHz": lambda x, r: (soxr.resample(x, r, 44_100), 44_100),
    "MP3, half of the levels": lambda x, r: coded(x, r, "MP3", "MPEG_LAYER_III", 0.5),
    "MP3, lowest bitrate": lambda x, r: coded(x, r, "MP3", "MPEG_LAYER_III", 0.99),
    "Opus, half of the levels": lambda x, r: coded(x, r, "OGG", "OPUS", 0.5),
    "Opus, lowest bitrate": lambda x, r: coded(x, r, "OGG", "OPUS", 0.99),
    "start cut by 0.1 s": lambda x, r: (x[int(0.1037 * r) :], r),
    "5 % cut": lambda x, r: (x[int(0.03 * len(x)) : int(0.98 * len(x))], r),
    "0.3 s of silence before": lambda x, r: (np.concatenate([np.zeros(int(0.303 * r), np.float32), x]), r),
    "white noise at 20 dB": lambda x, r: (noisy(x, 20), r),
    "cut by 0.1 s, at 8 kHz, MP3, lowest bitrate": lambda x, r: coded(
        soxr.resample(x[int(0.1037 * r) :], r, 8_000), 8_000, "MP3", "MPEG_LAYER_III", 0.99
    ),
}


def prints_of(audio: Samples, rate: int) -> Fingerprint:
    audio = np.asarray(audio, np.float32)
    return fingerprint([audio if rate == RATE else soxr.resample(audio, rate, RATE)])


def found_pairs(prints: list[Fingerprint]) -> set[tuple[int, int]]:
    config = Config()
    sizes = [len(one.keys) for one in prints]
    ranks = np.repeat(np.arange(len(prints)), sizes)
    keys, places = (np.concatenate([getattr(one, name) for one in prints]) for name in ("keys", "places"))
    pairs = bucket_pairs(keys, ranks, places.astype(np.int64))
    return {
        (low, high)
        for low, high, offset in zip(*(side.tolist() for side in pairs), strict=True)
        if audio_likeness(config, prints[low].codes, prints[high].codes, offset) > 0
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=20, help="of each set")
    arguments = parser.parse_args()
    sounds: list[tuple[Samples, int]] = []
    for name in SETS:
        lines = (arguments.data / name / "manifest.jsonl").read_text().splitlines()
        for number in np.unique(np.linspace(0, len(lines) - 1, arguments.clips).astype(int)):
            path = arguments.data / name / json.loads(lines[number])["audio"]
            sounds.append(soundfile.read(path, dtype="float32"))
    seconds, began = sum(len(x) / rate for x, rate in sounds), time.process_time()
    originals = [prints_of(x, rate) for x, rate in sounds]
    spent = (time.process_time() - began) / seconds
    n = len(sounds)
    print(f"{n} recordings, {seconds:.0f} s; {1000 * spent:.1f} ms of processor time for a second of audio")
    wrong = found_pairs(originals)
    print(f"different recordings taken for copies: {len(wrong)} of {n * (n - 1) // 2} pairs")
    for name, change in COPIES.items():
        copies = [prints_of(*change(x, rate)) for x, rate in sounds]
        pairs = found_pairs([*originals, *copies])
        right = sum((i, i + n) in pairs for i in range(n))
        others = sum(low % n != high % n for low, high in pairs) - 2 * len(wrong)
        print(f"{name:45} {right:4} of {n} found, {others} wrong pairs", flush=True)


if __name__ == "__main__":
    main()
