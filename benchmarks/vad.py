"""What finding speech costs, and what of it is missed: Silero from faster-whisper against WhisperX's pyannote.

    OMP_NUM_THREADS=1 python benchmarks/vad.py [--data ../shared/data/longform]

Missed: share of the time inside of labelled words that no segment covers, for recordings with word times. Speech: share
of all time that is covered. Both as WhisperX uses them, merged into chunks of at most 30 s.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np

from speechprep.artifacts.media import audio

RATE = 16_000
STEP = 100  # of the grid on which time is counted, 1/s


def grid(spans: list[tuple[float, float]], seconds: float) -> np.ndarray:
    covered = np.zeros(int(seconds * STEP) + 1, np.bool_)
    for start, end in spans:
        covered[round(start * STEP) : round(end * STEP)] = True
    return covered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "longform"
    parser.add_argument("--data", type=Path, default=default)
    args = parser.parse_args()
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    warnings.simplefilter("ignore")
    import torch
    from whisperx.vads import Pyannote

    from speechprep.pipelines.backends.recognisers.voice_activity import merged, silero

    torch.set_num_threads(1)
    options = {"chunk_size": 30, "vad_onset": 0.5, "vad_offset": 0.363}
    pyannote = Pyannote(torch.device("cpu"), **options)

    def by_silero(sound: np.ndarray) -> list[tuple[float, float]]:
        spans = silero(sound, 0.5)
        merged(spans)
        return spans

    def by_pyannote(sound: np.ndarray) -> list[tuple[float, float]]:
        found = pyannote({"waveform": pyannote.preprocess_audio(sound), "sample_rate": RATE})
        chunks = pyannote.merge_chunks(found, 30, onset=0.5, offset=0.363)
        return [span for chunk in chunks for span in chunk["segments"]]

    sounds = []
    for line in (args.data / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        sounds.append((audio.decode(args.data / row["audio"], sample_rate=RATE), row.get("words") or []))
    minutes = sum(len(sound) for sound, _ in sounds) / RATE / 60
    costs = {}
    for name, detector in (("silero", by_silero), ("pyannote", by_pyannote)):
        cost, missed, said, covered = 0.0, 0, 0, 0
        for sound, words in sounds:
            began = time.process_time()
            spans = detector(sound)
            cost += time.process_time() - began
            speech = grid(spans, len(sound) / RATE)
            spoken = grid([(word["start"], word["end"]) for word in words], len(sound) / RATE)
            missed += int((spoken & ~speech).sum())
            said += int(spoken.sum())
            covered += int(speech.sum())
        costs[name] = cost
        print(
            f"{name:9} {cost / minutes:6.3f} s of processor a minute; missed {100 * missed / max(said, 1):.2f} % of "
            f"the labelled words' time; speech {100 * covered / STEP / 60 / minutes:.1f} % of {minutes:.1f} min"
        )
    print(f"pyannote / silero: {costs['pyannote'] / costs['silero']:.1f}")


if __name__ == "__main__":
    main()
