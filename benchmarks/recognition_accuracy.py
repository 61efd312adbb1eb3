"""Word errors of the recogniser `whisper` against plain faster-whisper, on whole sets of real speech.

    OMP_NUM_THREADS=1 python benchmarks/recognition_accuracy.py --model models/whisper-base-ct2 [--sets noisy,longform]

Both read the same audio with the same model (float32, beam 5) in processes of their own. faster-whisper runs as its
README shows: `transcribe(file, beam_size=5)`, with its temperature fallback and its conditioning on the text before.
Texts are compared after Whisper's English normaliser (the package openai-whisper). For each set: words, errors of each
kind, and error rates; then processor seconds and peak memory. `--option NAME=VALUE` gives the recogniser an option, for
example `temperatures=[0,0.2,0.4]`. `--whisperx ALIGN` adds WhisperX (pyannote, batch 8) with an align model, for its
cost too. The side of speechprep then has the aligner `whisperx`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(PYANNOTE_METRICS_ENABLED="0", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

from measure import in_fresh_process, report_child

RATE = 16_000
THREADS = int(os.environ["OMP_NUM_THREADS"])
SETS = "librispeech-mini,librispeech-other,longform,noisy"


def rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The recordings of all sets: set, file and text."""
    found = []
    for name in args.sets.split(","):
        lines = (args.data / name / "manifest.jsonl").read_text().splitlines()[:: args.every]
        for row in map(json.loads, lines):
            text = row.get("text") or " ".join(segment["text"] for segment in row.get("segments") or [])
            found.append({"set": name, "file": str(args.data / name / row["audio"]), "text": text})
    return [row for row in found if row["text"]]


def ours(args: argparse.Namespace) -> Callable[[str], str]:
    """The recogniser, alone or with the aligner `whisperx`."""
    from speechprep.artifacts.media.audio import decode_blocks
    from speechprep.options import read_value
    from speechprep.pipelines.backends.aligners.whisperx import WhisperxAligner
    from speechprep.pipelines.backends.recognisers.whisper import WhisperRecogniser
    from speechprep.process import settle

    settle()
    if args.whisperx:
        aligner = WhisperxAligner(args.model, args.whisperx, threads=THREADS)
        aligner.load()
        return lambda file: aligner.align_stream(decode_blocks(file, 0.0, None, RATE), None).text
    options = {name: read_value(value) for name, value in (option.split("=", 1) for option in args.option)}
    recogniser = WhisperRecogniser(args.model, threads=THREADS, **options)
    recogniser.load()
    return lambda file: " ".join(p.text for p in recogniser.passages(decode_blocks(file, 0.0, None, RATE)))


def faster_whisper(args: argparse.Namespace) -> Callable[[str], str]:
    """faster-whisper as its README has it."""
    from faster_whisper import WhisperModel

    model = WhisperModel(args.model, device="cpu", compute_type="float32", cpu_threads=THREADS)
    return lambda file: " ".join(segment.text for segment in model.transcribe(file, beam_size=5)[0])


def whisperx(args: argparse.Namespace) -> Callable[[str], str]:
    """WhisperX as its README has it."""
    import torch
    import whisperx as package

    torch.set_num_threads(THREADS)
    from alignment import whisperx_alignment  # so that nothing is fetched

    whisperx_alignment()
    model = package.load_model(args.model, "cpu", compute_type="float32", threads=THREADS)
    aligner, meta = package.load_align_model("en", "cpu", model_name=args.whisperx)

    def text(file: str) -> str:
        audio = package.load_audio(file)
        found = model.transcribe(audio, batch_size=8)["segments"]
        return " ".join(s["text"] for s in package.align(found, aligner, meta, audio, "cpu")["segments"])

    return text


SIDES = {"speechprep": ours, "faster-whisper": faster_whisper, "whisperx": whisperx}


def child(args: argparse.Namespace) -> None:
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    text = SIDES[args.child](args)
    texts = [text(row["file"]) for row in rows(args)]
    args.out.write_text(json.dumps(texts))
    used = resource.getrusage(resource.RUSAGE_SELF)
    report_child({"wall": time.perf_counter() - began, "cpu": used.ru_utime + used.ru_stime})


def compare(args: argparse.Namespace, passed: list[str]) -> None:
    from whisper.normalizers import EnglishTextNormalizer

    from speechprep.tokenizers.alignment.edit_distance import edit_counts

    plain = EnglishTextNormalizer()
    table = rows(args)
    sets = [*dict.fromkeys(row["set"] for row in table)]
    print(f"{len(table)} recordings; errors in % of the words (substitutions / deletions / insertions)")
    for side in ["faster-whisper", *(["whisperx"] if args.whisperx else []), "speechprep"]:
        out = args.out.with_name(f"{args.out.stem}-{side}.json")
        cost = in_fresh_process(__file__, side, *passed, "--out", out)
        texts = json.loads(out.read_text())
        counts = {name: [0, 0, 0, 0] for name in (*sets, "all")}
        for row, text in zip(table, texts, strict=True):
            found = edit_counts(plain(row["text"]).split(), plain(text).split())
            for name in (row["set"], "all"):
                kinds = (found.words, found.substitutions, found.deletions, found.insertions)
                counts[name] = [a + b for a, b in zip(counts[name], kinds, strict=True)]
        print(f"{side}: {cost['cpu']:.0f} s of processor, peak {cost['peak_mb']:.0f} MB")
        for name, (words, *kinds) in counts.items():
            shares = " / ".join(f"{100 * kind / words:.2f}" for kind in kinds)
            print(f"  {name:18} {words:6,} words  {100 * sum(kinds) / words:5.2f} %  ({shares})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of faster-whisper")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--every", type=int, default=1, help="only each N-th recording of a set")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the recogniser")
    parser.add_argument("--whisperx", metavar="ALIGN", help="a CTC model folder: compare with WhisperX too")
    parser.add_argument("--out", type=Path, default=Path("texts.json"), help="texts of each side, beside this name")
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    passed = ["--model", args.model, "--data", str(args.data), "--sets", args.sets, "--every", str(args.every)]
    for option in args.option:
        passed += ["--option", option]
    compare(args, passed + (["--whisperx", args.whisperx] if args.whisperx else []))


if __name__ == "__main__":
    main()
