"""Speech without transcripts into timed words, the whole of it: aligner `whisperx` against WhisperX itself.

    OMP_NUM_THREADS=2 python benchmarks/recognition.py [--minutes 20] [--joined] [--data ../shared/data/...]

Both get the same audio, the same Whisper (base, by CTranslate2 in float32, beam 5) and the same wav2vec 2.0 (base), and
two threads. The weights are random: the cost does not depend on them, but for how much Whisper says. So its decoder is
made to say `--words` words of each chunk, whatever it hears. WhisperX runs as its README shows: `load_audio`,
`transcribe`, `align`; the detector of speech is pyannote's, its default, ours is Silero's; `--vad` measures both with
either. Each side runs in a process of its own, read from the first import to the last word: seconds with and without
the loading of libraries and models, processor seconds, peak resident memory. At last, whether the words are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.update(PYANNOTE_METRICS_ENABLED="0", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
from measure import in_fresh_process, kept_in, report_child

RATE = 16_000
THREADS = int(os.environ["OMP_NUM_THREADS"])
BASE = {
    "d_model": 512,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
}
WAV2VEC = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "conv_dim": (512,) * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
SPEECH = "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness "


def models(folder: Path, words: int) -> None:
    """Both models, in `folder`; those that are there stay."""
    from helpers import ctc_models

    if not (folder / "align").exists():
        ctc_models.ctc_folder(folder / "align", normalise=False, **WAV2VEC)
    if not (folder / f"whisper-{words}").exists():
        says = " ".join((SPEECH * 10).split()[:words])
        ctc_models.whisper_folder(folder / f"whisper-{words}", folder / "work", says, **BASE)


def recordings(data: Path, minutes: float, folder: Path, *, joined: bool) -> list[str]:
    """The files of a set up to a length, or one file of them."""
    import soundfile

    found, seconds = [], 0.0
    for line in (data / "manifest.jsonl").read_text().splitlines():
        if seconds < 60 * minutes:
            row = json.loads(line)
            found.append(str(data / row["audio"]))
            seconds += row["duration_s"]
    while joined and seconds < 60 * minutes - 1:  # a set that is too short comes again
        seconds += (again := soundfile.info(found[len(found) % 97])).frames / again.samplerate
        found.append(found[len(found) % 97])
    if not joined:
        return found
    whole = folder / f"joined-{minutes:g}.flac"
    if not whole.exists():
        with soundfile.SoundFile(whole, "w", RATE, 1, "PCM_16") as file:
            for path in found:
                file.write(soundfile.read(path, dtype="int16")[0])
    return [str(whole)]


def ours(args: argparse.Namespace, files: list[str]) -> Any:
    """The aligner as the stage `align` uses it, in a process as the command makes it."""
    from speechprep.process import settle

    settle()
    from speechprep.artifacts.media.audio import decode_blocks
    from speechprep.pipelines.backends.aligners.whisperx import WhisperxAligner

    folder = args.models
    aligner = WhisperxAligner(
        str(folder / f"whisper-{args.words}"), str(folder / "align"), mode="whisperx", vad=args.vad or "silero",
        threads=THREADS,
    )  # fmt: skip
    aligner.load()
    yield None
    for file in files:
        found = aligner.align_stream(decode_blocks(file, 0.0, None, RATE), None)
        yield [(w.text, w.start, w.end, w.score) for w in found.words if w.timing == "aligned"]


def theirs(args: argparse.Namespace, files: list[str]) -> Any:
    """WhisperX as its README has it."""
    import logging

    import torch

    torch.set_num_threads(THREADS)
    from alignment import whisperx_alignment  # so that nothing is fetched

    whisperx_alignment()
    logging.disable(logging.ERROR)
    import whisperx

    options: dict[str, Any] = {}
    if args.vad == "silero":
        from helpers import ctc_models

        options = {"vad_model": ctc_models.silero_for_whisperx()}
    sys.stdout = sys.stderr
    model = whisperx.load_model(
        str(args.models / f"whisper-{args.words}"), "cpu", compute_type="float32", language="en", threads=THREADS,
        **options,
    )  # fmt: skip
    aligner, meta = whisperx.load_align_model("en", "cpu", model_name=str(args.models / "align"))
    yield None
    for file in files:
        audio = whisperx.load_audio(file)
        found = model.transcribe(audio, batch_size=8)
        made = whisperx.align(found["segments"], aligner, meta, audio, "cpu")["word_segments"]
        yield [(w["word"], float(w["start"]), float(w["end"]), float(w["score"])) for w in made if "score" in w]
    sys.stdout = sys.__stdout__


def child(args: argparse.Namespace) -> None:
    began = time.perf_counter()
    warnings.simplefilter("ignore")
    files = json.loads((args.models / "files.json").read_text())
    work = (ours if args.child == "ours" else theirs)(args, files)
    next(work)
    loaded = time.perf_counter()
    words = list(work)
    (args.models / f"{args.child}.json").write_text(json.dumps(words))
    used = resource.getrusage(resource.RUSAGE_SELF)
    report_child(
        {
            "load": loaded - began,
            "work": time.perf_counter() - loaded,
            "cpu": used.ru_utime + used.ru_stime,
            "words": sum(map(len, words)),
        }
    )


def shown(name: str, found: dict[str, float]) -> None:
    print(
        f"  {name:9} {found['work']:7.1f} s, with loading {found['work'] + found['load']:7.1f} s, "
        f"{found['cpu']:7.1f} s of processor, peak {found['peak_mb']:6.0f} MB, {found['words']:.0f} words timed",
        flush=True,
    )


def compare(args: argparse.Namespace, folder: Path) -> None:
    models(folder, args.words)
    files = recordings(args.data, args.minutes, folder, joined=args.joined)
    (folder / "files.json").write_text(json.dumps(files))
    print(f"{len(files)} recordings, {args.minutes:g} min, {THREADS} threads, detector: {args.vad or 'of each'}")
    options = ["--models", str(folder), "--words", args.words, *(["--vad", args.vad] if args.vad else [])]
    results = {}
    for side in ("theirs", "ours"):
        if args.only in (None, side):
            results[side] = in_fresh_process(__file__, side, *options)
            shown("WhisperX" if side == "theirs" else "speechprep", results[side])
    if len(results) == 2:
        a, b = results["theirs"], results["ours"]
        same = np.array_equal(*(json.loads((folder / f"{side}.json").read_text()) for side in results))
        whole = (a["work"] + a["load"]) / (b["work"] + b["load"])
        print(
            f"  WhisperX's over ours: time {a['work'] / b['work']:.2f}, with loading {whole:.2f}, "
            f"processor {a['cpu'] / b['cpu']:.2f}, memory {a['peak_mb'] / b['peak_mb']:.2f}; "
            f"words, times and scores {'the same' if same else 'differ'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech-mini"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--joined", action="store_true", help="one recording of them all")
    parser.add_argument("--words", type=int, default=35, help="that Whisper says of a chunk")
    parser.add_argument("--vad", choices=("silero", "pyannote"), help="for both; by default each has its own")
    parser.add_argument("--models", type=Path, help="where the models are kept; by default a temporary folder")
    parser.add_argument("--only", choices=("ours", "theirs"))
    parser.add_argument("--child", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    with kept_in(args.models) as folder:
        compare(args, folder)


if __name__ == "__main__":
    main()
