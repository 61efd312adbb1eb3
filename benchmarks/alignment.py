"""What alignment costs after the emissions, against WhisperX's own and torchaudio's; and CTC on hours of audio.

    OMP_NUM_THREADS=1 python benchmarks/alignment.py [--data ../shared/data/librispeech-mini] [--minutes 20] [--hours 2]

Every recording with its transcript is a segment. The emissions are made here, not by a model: at the frame rate of
wav2vec2, either planted (each character of the transcript is said in its turn, with noise) or random, where WhisperX's
backtracking starts early. All get the same emissions, whisperx.align by a model that only hands them out. Prints
processor milliseconds for a minute of audio, the ratio, and whether words, times and scores are identical; before that,
how far the two objectives are from the truth where emissions are made with known times.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.alignment.ctc import ctc_align
from speechprep.tokenizers.alignment.whisperx import align_segment, token_times

LETTERS = "|etaonihsrdlumwcfgypbvk'xjqz"
DICTIONARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, **{c: i + 4 for i, c in enumerate(LETTERS)}}
GRID = FrameGrid(16_000, stride=320, window=400)


def spelled(text: str) -> list[int]:
    return [DICTIONARY[c] for c in text.lower().replace(" ", "|") if c.replace(" ", "|") in DICTIONARY]


def emissions(ids: list[int], frames: int, seed: int, kind: str) -> np.ndarray:
    """(frames, letters) logits."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((frames, len(DICTIONARY)), dtype=np.float32)
    if kind == "planted":
        logits[:, 0] += 4
        at = np.sort(rng.choice(frames // 2, min(len(ids), frames // 2), replace=False)) * 2
        logits[at, 0] -= 4
        logits[at, ids[: len(at)]] += 6
    return logits


def whisperx_alignment() -> Any:
    """whisperx.alignment with a sentence splitter of its own, so that nothing is fetched."""
    os.environ.update(PYANNOTE_METRICS_ENABLED="0", HF_HUB_OFFLINE="1")
    warnings.simplefilter("ignore")
    import nltk

    punkt = Path(tempfile.mkdtemp()) / "tokenizers" / "punkt_tab" / "english"
    punkt.mkdir(parents=True)
    for name in ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab"):
        (punkt / name).write_text("mr\n" if name.startswith("abbrev") else "")
    nltk.data.path.insert(0, str(punkt.parents[2]))
    from whisperx import alignment

    logging.disable(logging.ERROR)
    return alignment


def segments(args: argparse.Namespace, kind: str) -> list[tuple[str, float, np.ndarray]]:
    found, seconds = [], 0.0
    for i, line in enumerate((args.data / "manifest.jsonl").read_text().splitlines()):
        row = json.loads(line)
        if seconds >= 60 * args.minutes:
            break
        seconds += row["duration_s"]
        frames = GRID.num_frames(round(row["duration_s"] * 16_000))
        found.append((row["text"], row["duration_s"], emissions(spelled(row["text"]), frames, i, kind)))
    return found


def compare(alignment: Any, cost: dict[str, float], text: str, duration: float, logits: np.ndarray) -> tuple[bool, int]:
    """One segment by all; adds to `cost`. Whether WhisperX's words are the same, and how many there are."""
    import torch
    import torchaudio

    scores = torch.log_softmax(torch.from_numpy(logits)[None], -1)[0]
    given, ids = scores.numpy(), np.array(spelled(text), np.int32)
    audio = np.zeros(round(duration * 16_000), np.float32)
    meta = {"language": "en", "dictionary": DICTIONARY, "type": "torchaudio"}
    segment = {"text": text, "start": 0.0, "end": duration}

    def timed(name: str, function: Any) -> Any:
        began = time.process_time()
        result = function()
        cost[name] += time.process_time() - began
        return result

    def model(waveform: Any, lengths: Any = None) -> Any:
        return torch.from_numpy(logits)[None], lengths

    theirs = timed("whisperx.align", lambda: alignment.align([segment], model, meta, audio, "cpu"))
    ours = timed("whisperx", lambda: align_segment(given, text, DICTIONARY, 0.0, duration))
    timed("whisperx, numpy", lambda: align_segment(given, text, DICTIONARY, 0.0, duration, numba=False))
    timed("forced_align", lambda: torchaudio.functional.forced_align(scores[None], torch.from_numpy(ids)[None]))
    timed("ctc", lambda: ctc_align(given, ids))
    timed("ctc, numpy", lambda: ctc_align(given, ids, numba=False))
    reference = [(w["word"], w.get("start"), w.get("end"), w.get("score")) for w in theirs["word_segments"]]
    return reference == [(w.text, w.start, w.end, w.score) for w in ours or []], len(reference)


def after_emissions(args: argparse.Namespace, kind: str) -> None:
    import torch

    torch.set_num_threads(1)
    alignment = whisperx_alignment()
    work = segments(args, kind)
    minutes = sum(duration for _, duration, _ in work) / 60
    cost = dict.fromkeys(("whisperx.align", "whisperx", "whisperx, numpy", "forced_align", "ctc", "ctc, numpy"), 0.0)
    same = words = 0
    align_segment(np.zeros((9, 32), np.float32), "a b", DICTIONARY, 0.0, 1.0)  # compile
    ctc_align(np.zeros((9, 32), np.float32), [5, 6])
    for item in work:
        identical, count = compare(alignment, cost, *item)
        same += identical
        words += count
    print(f"{kind} emissions: {len(work)} segments, {minutes:.1f} min, {words} words; identical in {same}/{len(work)}")
    for name, seconds in cost.items():
        base = "forced_align" if name in ("forced_align", "ctc", "ctc, numpy") else "whisperx.align"
        print(f"  {name:16} {1000 * seconds / minutes:8.2f} ms/min  {cost[base] / seconds:7.1f} x {base}")


def hours(args: argparse.Namespace) -> None:
    """CTC over one long recording: 15 characters a second of the transcript."""
    frames = round(args.hours * 3600 * 50)
    rng = np.random.default_rng(0)
    ids = rng.integers(4, 32, round(args.hours * 3600 * 15)).astype(np.int32)
    logits = emissions(ids.tolist(), frames, 0, "planted")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    ctc_align(logits, ids)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{args.hours} h: {frames} frames, {len(ids)} characters: {seconds:.0f} s of processor, peak {peak:.0f} MB, "
        f"{peak - before:.0f} MB above what the emissions had taken"
    )


def in_noise() -> None:
    """Starts of tokens against where they were planted: 40 sequences of 260, a share of them two frames long."""
    print("two frames  noise   mean error of starts, ms: ctc   whisperx")
    for every, noise in product((0, 8, 2), (1.0, 2.0, 3.0, 4.0)):
        errors: dict[str, list[float]] = {"ctc": [], "whisperx": []}
        for seed in range(40):
            rng = np.random.default_rng(seed)
            ids = rng.integers(4, 32, 260).astype(np.int32)
            starts = 4 * np.arange(260) + rng.integers(0, 2, 260)
            logits = noise * rng.standard_normal((1060, 32), dtype=np.float32)
            logits[:, 0] += 10
            long = slice(0, len(ids) if every else 0, every or 1)
            for frames, said in ((starts, ids), (starts[long] + 1, ids[long])):
                logits[frames, 0] -= 10
                logits[frames, said] += 10
            scores = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
            found = token_times(scores, ids)
            if found is not None:
                errors["whisperx"].append(float(np.abs(found.starts - starts).mean()))
            errors["ctc"].append(float(np.abs(ctc_align(scores, ids).starts - starts).mean()))
        means = [20 * float(np.mean(errors[name])) for name in ("ctc", "whisperx")]
        print(f"{1 / every if every else 0:9.1%} {noise:6.0f} {means[0]:31.1f} {means[1]:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech-mini"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--hours", type=float, default=2)
    args = parser.parse_args()
    if args.hours:
        hours(args)
    in_noise()
    for kind in ("planted", "random"):
        after_emissions(args, kind)


if __name__ == "__main__":
    main()
