"""One recording of hours through the aligners `ctc` (its transcript given) and `whisperx` (none): memory and time.

    OMP_NUM_THREADS=1 python benchmarks/long_audio.py [--minutes 20 40 120] [--size small] [--aligners ctc whisperx]

The recording is LibriSpeech, utterance after utterance, again from the start when they end; it comes in blocks, as the
stage `align` reads it, and is never held. Models have random weights: `base` are wav2vec 2.0 and Whisper of the base
size, `small` are far smaller ones, for the part of the memory that grows with the length, if any does. Each run is a
process of its own; what is printed is its peak resident memory, with all libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from measure import in_fresh_process, kept_in, report_child
from recognition import BASE, RATE, SPEECH, WAV2VEC

WORDS = 80  # that Whisper says of a chunk


def models(folder: Path, size: str) -> None:
    """Both models, in `folder`; those that are there stay."""
    from helpers import ctc_models

    base = size == "base"
    if not (folder / "align").exists():
        ctc_models.ctc_folder(folder / "align", normalise=False, **(WAV2VEC if base else {}))
    if not (folder / f"whisper-{WORDS}").exists():
        says = " ".join((SPEECH * 10).split()[:WORDS])
        ctc_models.whisper_folder(folder / f"whisper-{WORDS}", folder / "work", says, **(BASE if base else {}))


def recording(data: Path, minutes: float) -> tuple[str, Iterator[np.ndarray]]:
    """The transcript of a recording of that length, and its audio in blocks."""
    from speechprep.artifacts.media.audio import decode_blocks

    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    wanted, seconds = [], 0.0
    for row in cycle(rows):
        if seconds >= 60 * minutes:
            break
        wanted.append(row)
        seconds += row["duration_s"]

    def blocks() -> Iterator[np.ndarray]:
        for row in wanted:
            yield from decode_blocks(str(data / row["audio"]), 0.0, None, RATE)

    return " ".join(row["text"] for row in wanted), blocks()


def child(args: argparse.Namespace) -> None:
    from speechprep.process import settle
    from speechprep.registry import make

    settle()
    warnings.simplefilter("ignore")
    threads = int(os.environ["OMP_NUM_THREADS"])
    align_model, whisper = str(args.models / "align"), str(args.models / f"whisper-{WORDS}")
    if args.child == "ctc":
        aligner = make("aligners", "ctc", {"model": align_model, "threads": threads})
    else:
        options = {"whisper": whisper, "align_model": align_model, "threads": threads, "mode": "whisperx"}
        aligner = make("aligners", "whisperx", options)
    text, blocks = recording(args.data, args.minutes[0])
    aligner.load()
    wall, cpu = time.perf_counter(), time.process_time()
    found = aligner.align_stream(blocks, text if args.child == "ctc" else None)
    report_child(
        {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "words": len(found.words),
            "aligned": sum(word.timing == "aligned" for word in found.words),
            "end": found.words[-1].end,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech-mini"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--minutes", type=float, nargs="+", default=[20, 40, 120])
    parser.add_argument("--size", choices=("small", "base"), default="small")
    parser.add_argument("--aligners", nargs="+", default=["ctc", "whisperx"])
    parser.add_argument("--models", type=Path, help="where the models are kept; by default a temporary folder")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    with kept_in(args.models) as folder:
        models(folder, args.size)
        for name in args.aligners:
            for minutes in args.minutes:
                found = in_fresh_process(__file__, name, "--models", folder, "--minutes", minutes, "--data", args.data)
                print(
                    f"{name:8} {args.size}  {minutes:5g} min  peak {found['peak_mb']:6.0f} MB  {found['wall']:6.0f} s, "
                    f"{found['cpu']:6.0f} s of processor  "
                    f"{found['aligned']:.0f} of {found['words']:.0f} words aligned, "
                    f"the last ends at {found['end'] / 60:.1f} min",
                    flush=True,
                )


if __name__ == "__main__":
    main()
