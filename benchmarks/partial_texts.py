"""Texts that cover a part of the audio, and audio that covers a part of the text: `pocketsphinx` on joins of clips.

    python benchmarks/partial_texts.py [--joins 34] [--seed 0] [--sets timit-sample,librispeech-other]

A join is three clips with distinct texts. One of them has no text (missing), no audio (extra), or the audio of a fourth
clip (swapped). An absent text is that of three other clips. Intact clips have their own text. Times of TIMIT are hand
labels; those of LibriSpeech are from the closed alignment of the single clip. `kept` is the verdict of `align` with its
default limits. For each set and kind:

    near      share of the spoken words that start within 50 ms of their time, in all joins
    far       share of the spoken words in kept rows that have a time and start more than 0.5 s away
    marked    share of the other words in accepted rows with `timing: interpolated`
    cost      processor seconds for a second of audio
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from speechprep.artifacts.media import audio
from speechprep.errors import BadInput
from speechprep.pipelines.backends import Transcript
from speechprep.pipelines.backends.aligners.pocketsphinx import PocketSphinxAligner
from speechprep.pipelines.stages.align import Config, words_row
from speechprep.tokenizers.alignment.plausibility import FramePower

RATE = 16_000
KINDS = ("missing", "extra", "swapped", "absent")
NEAR, FAR = 0.05, 0.5  # seconds
LONGEST = 8.0  # seconds of a clip for joins, so that three clips fit into one window


@dataclass
class Clip:
    """Samples (n,), words, and the start of each word in seconds: none for a word without audio."""

    samples: np.ndarray
    words: list[str]
    starts: list[float | None]


@dataclass
class Counts:
    """Sums over the joins of one kind."""

    joins: int = 0
    refused: int = 0
    kept: int = 0
    spoken: int = 0
    near: int = 0
    kept_spoken: int = 0
    far: int = 0
    other: int = 0
    marked: int = 0
    samples: int = 0
    cost: float = 0.0

    def line(self, name: str) -> str:
        """The shares in words."""
        share = [f"{label} {part / whole:.4f}" for label, part, whole in (
            ("near", self.near, self.spoken), ("far", self.far, self.kept_spoken), ("marked", self.marked, self.other)
        ) if whole]  # fmt: skip
        cost = self.cost * RATE / max(self.samples, 1)
        counts = f"{self.joins:4} joins, {self.refused} refused, {self.kept} kept"
        return f"{name:28} {counts}; {', '.join(share)}; cost {cost:.3f}"


def read_clips(folder: Path, aligner: PocketSphinxAligner) -> list[Clip]:
    """Clips with distinct texts."""
    clips: dict[str, Clip] = {}
    for row in map(json.loads, (folder / "manifest.jsonl").read_text().splitlines()):
        text = " ".join(word["w"] for word in row["words"]) if row.get("words") else row["text"]
        if row["duration_s"] > LONGEST or text in clips:
            continue
        samples = audio.decode(folder / row["audio"], sample_rate=RATE)
        if row.get("words"):
            starts = [word["start"] for word in row["words"]]
        else:
            starts = [word.start for word in aligner.align(samples, text).words]
        if len(starts) == len(text.split()):
            clips[text] = Clip(samples, text.split(), starts)
    return list(clips.values())


def join(clips: list[Clip], kind: str, rng: random.Random) -> Clip:
    """Three clips, one of them with a part missing. The words of an absent text have no start."""
    *picked, other = rng.sample(clips, 4)
    odd = rng.randrange(3)
    if kind == "absent":
        texts = rng.sample([clip for clip in clips if all(clip is not one for one in picked)], 3)
        words = [word for clip in texts for word in clip.words]
        return Clip(np.concatenate([clip.samples for clip in picked]), words, [None] * len(words))
    samples: list[np.ndarray] = []
    words, starts, at = [], [], 0.0
    for number, clip in enumerate(picked):
        foreign = number == odd
        if not (foreign and kind == "missing"):
            words += clip.words
            starts += [None if foreign else start + at for start in clip.starts]
        if not (foreign and kind == "extra"):
            samples.append(other.samples if foreign and kind == "swapped" else clip.samples)
            at += len(samples[-1]) / RATE
    return Clip(np.concatenate(samples), words, starts)


def row_of(samples: np.ndarray, transcript: Transcript) -> dict:
    """The row of `words` with the verdict of the default limits."""
    levels = FramePower(RATE)
    levels.add(samples)
    limits = Config().judging(PocketSphinxAligner())
    return words_row(limits, {"id": "", "text": None}, transcript, len(samples) / RATE, levels.power())


def judge(aligner: PocketSphinxAligner, clip: Clip, counts: Counts) -> dict | None:
    """Align a join, and add to the counts."""
    began = time.process_time()
    spoken = sum(start is not None for start in clip.starts)
    counts.joins += 1
    counts.spoken += spoken
    counts.samples += len(clip.samples)
    try:
        row = row_of(clip.samples, aligner.align(clip.samples, " ".join(clip.words)))
    except BadInput:
        counts.refused += 1
        return None
    finally:
        counts.cost += time.process_time() - began
    counts.kept += row["kept"]
    counts.kept_spoken += spoken * row["kept"]
    for word, start in zip(row["words"], clip.starts, strict=True):
        timed = word["timing"] == "aligned"
        if start is None:
            counts.other += 1
            counts.marked += not timed
        elif timed:
            error = abs(word["start"] - start)
            counts.near += error <= NEAR + 1e-6
            counts.far += row["kept"] and error > FAR
    return row


def total(parts: list[Counts]) -> Counts:
    return Counts(*(sum(getattr(part, field.name) for part in parts) for field in fields(Counts)))


def joins(args: argparse.Namespace, aligner: PocketSphinxAligner, show: Callable[..., None]) -> None:
    """Figures of joins. All sets and kinds take turns, so a run that is stopped has figures of each."""
    clips = {name: read_clips(args.data / name, aligner) for name in args.sets.split(",")}
    counts = {(name, kind): Counts() for name in clips for kind in KINDS}
    for number in range(args.joins):
        for name, kind in counts:
            clip = join(clips[name], kind, random.Random(f"{args.seed} {name} {kind} {number}"))
            show(name, kind, number, clip, judge(aligner, clip, counts[name, kind]))
        print(f"{number + 1} of {args.joins} joins of each kind and set", flush=True)
        if (number + 1) % 4 == 0 or number + 1 == args.joins:
            for name, kind in counts:
                print(counts[name, kind].line(f"{name} {kind}"))
            for kind in KINDS:
                print(total([counts[name, kind] for name in clips]).line(f"all {kind}"))
            print(total([counts[key] for key in counts if key[1] != "absent"]).line("all but absent"), flush=True)


def intact(args: argparse.Namespace, aligner: PocketSphinxAligner) -> None:
    """Figures of clips with their own texts: kept rows, and words that the search moves or marks."""
    closed = PocketSphinxAligner(partial=False)
    closed.load()
    for name in args.intact.split(","):
        rows = kept = moved = marked = words = 0
        for row in list(map(json.loads, (args.data / name / "manifest.jsonl").read_text().splitlines()))[:: args.every]:
            samples = audio.decode(args.data / name / row["audio"], sample_rate=RATE)
            judged, plain = row_of(samples, aligner.align(samples, row["text"])), closed.align(samples, row["text"])
            rows += 1
            kept += judged["kept"]
            words += len(plain.words)
            marked += sum(word["timing"] == "interpolated" for word in judged["words"])
            moved += sum(a["start"] != b.start for a, b in zip(judged["words"], plain.words, strict=True))
            if not judged["kept"]:
                print(f"  {row['id']}: {judged['reason']}")
        print(
            f"{name:28} {rows} intact, {kept} kept; of {words:,} words {moved} moved, {marked} interpolated", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--sets", default="timit-sample,librispeech-other", help="sets for joins; empty: none")
    parser.add_argument("--joins", type=int, default=34, help="joins of each kind and set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--intact", default="timit-sample,ljspeech-aligned,librispeech-mini", help="empty: none")
    parser.add_argument("--every", type=int, default=1, help="only each N-th intact clip")
    parser.add_argument("--verbose", action="store_true", help="each join with its row")
    args = parser.parse_args()
    aligner = PocketSphinxAligner()
    aligner.load()

    def show(name: str, kind: str, number: int, clip: Clip, row: dict | None) -> None:
        if args.verbose:
            print(f"  {name} {kind} {number}: {'refused' if row is None else row['reason'] or 'kept'}")
            for word, start in zip(row["words"] if row else [], clip.starts, strict=row is not None):
                print(f"    {start} {word}")

    if args.sets:
        joins(args, aligner, show)
    if args.intact:
        intact(args, aligner)


if __name__ == "__main__":
    main()
