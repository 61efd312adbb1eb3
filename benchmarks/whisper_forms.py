"""The three forms of Whisper weights against each other: encoder outputs and greedy transcripts.

    OMP_NUM_THREADS=1 python benchmarks/whisper_forms.py WEIGHTS [--model base] [--clips 100] [--data FOLDER]

WEIGHTS is the folder of scripts/fetch_whisper.py. Each form runs in its own library, in float32 on a CPU, with a beam
of 1 and without timestamps: the CTranslate2 folder in faster-whisper and the `.pt` file in openai-whisper by the
recognisers of speechprep, the transformers folder by `generate` of transformers. Encoder outputs are compared with the
frames of the extractor from each form, as the largest difference over the largest value, without and with the frames
of the padding. Differing transcripts are printed. --pairs is the number of clips for a further comparison: the
recognisers of the transformers folder and of the `.pt` file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import numpy as np

from speechprep.artifacts.media import audio
from speechprep.pipelines.backends import Language
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.pipelines.backends.recognisers.choose import whisper_model
from speechprep.pipelines.backends.recognisers.whisper_model import Decoding
from speechprep.pipelines.backends.whisper.forms import open_weights

RATE = 16_000
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech-mini"


def clips(data: Path, number: int, skip: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Name and samples of some clips of a set, each of at most 30 s."""
    lines = (data / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["duration_s"] <= 30]
    for row in rows[skip : skip + number]:
        yield row["id"], audio.decode(data / row["audio"], sample_rate=RATE)


def by_transformers(folder: Path) -> Callable[[np.ndarray], str]:
    """Greedy transcription by the plain library."""
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast

    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    mel, tokenizer = WhisperFeatureExtractor.from_pretrained(folder), WhisperTokenizerFast.from_pretrained(folder)
    language = {"language": "en", "task": "transcribe"} if model.generation_config.is_multilingual else {}

    def transcribe(samples: np.ndarray) -> str:
        features = mel(samples, sampling_rate=RATE, return_tensors="pt").input_features
        ids = model.generate(features, num_beams=1, do_sample=False, **language)
        return tokenizer.decode(ids[0], skip_special_tokens=True)

    return transcribe


def by_recogniser(path: Path) -> Callable[[np.ndarray], str]:
    """Greedy transcription by the recogniser of a form."""
    made = whisper_model(str(path), "cpu", "float32", Decoding(1), 1, 1)
    return lambda samples: made.texts([samples], Language("en", None, given=True))[0][0].text


def forms(weights: Path, model: str) -> dict[str, Path]:
    """The paths of the three forms."""
    return {
        "ct2": weights / f"whisper-{model}-ct2",
        "openai": weights / f"{model}.pt",
        "transformers": weights / f"whisper-{model}-transformers",
    }


def encoders(paths: dict[str, Path], sounds: list[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Largest difference to the frames of the transformers folder, over the largest value: in speech, and in all."""
    layers = open_weights(paths["ct2"]).sizes.encoder_layers
    frames = {}
    for form, path in paths.items():
        extractor = WhisperExtractor(str(path), layers, device="cpu")
        extractor.load()
        frames[f"extractor, {form}"] = [extractor.extract_padded_batch([sound])[0][0][0] for sound in sounds]
    reference = frames.pop("extractor, transformers")
    for form in ("ct2", "openai"):
        made = whisper_model(str(paths[form]), "cpu", "float32", Decoding(1), 1, 1)
        frames[f"recogniser, {form}"] = [np.asarray(next(made._features([sound])))[0] for sound in sounds]
    largest = max(float(np.abs(one).max()) for one in reference)
    spoken = [-(-len(sound) // 320) for sound in sounds]

    def ratio(found: list[np.ndarray], counts: list[int]) -> float:
        pairs = zip(found, reference, counts, strict=True)
        return max(float(np.abs(a[:n] - b[:n]).max()) for a, b, n in pairs) / largest

    return {name: (ratio(found, spoken), ratio(found, [1500] * len(sounds))) for name, found in frames.items()}


def transcripts(paths: dict[str, Path], args: argparse.Namespace) -> None:
    """Compare the transcripts of the three libraries, and print the differing ones."""
    run = {
        "faster-whisper": by_recogniser(paths["ct2"]),
        "openai-whisper": by_recogniser(paths["openai"]),
        "transformers": by_transformers(paths["transformers"]),
    }
    paired = by_recogniser(paths["transformers"])
    seconds, equal, total, pairs = dict.fromkeys(run, 0.0), 0, 0, 0
    for name, samples in clips(args.data, args.clips, args.skip):
        texts = {}
        for library, transcribe in run.items():
            began = time.process_time()
            texts[library] = transcribe(samples).strip()
            seconds[library] += time.process_time() - began
        if total < args.pairs:
            pairs += paired(samples).strip() == texts["openai-whisper"]
        total += 1
        if sys.stderr.isatty():
            print(f"\r  {total} clips", end="", file=sys.stderr)
        equal += len(set(texts.values())) == 1
        if len(set(texts.values())) > 1:
            print(
                f"  {name} ({len(samples) / RATE:.1f} s)",
                *(f"    {k:15} {v}" for k, v in texts.items()),
                sep="\n",
                flush=True,
            )
    print(f"  {equal} of {total} transcripts equal in the three libraries")
    print(f"  {pairs} of {min(args.pairs, total)} equal between the transformers folder and the .pt in the recogniser")
    print("  processor seconds: " + ", ".join(f"{library} {spent:.0f}" for library, spent in seconds.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--model", default="base", choices=("base", "tiny.en"))
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--skip", type=int, default=0, help="clips to leave out first")
    parser.add_argument("--encoded", type=int, default=10, help="clips with a comparison of the encoder outputs")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--data", type=Path, default=SHARED)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    paths = forms(args.weights, args.model)
    identities = {form: open_weights(path).digest()[:12] for form, path in paths.items()}
    print(args.model, "identity of the encoder:", identities)
    sounds = [samples for _, samples in clips(args.data, args.encoded)]
    for name, (speech, whole) in encoders(paths, sounds).items():
        print(f"  {name:22} difference {speech:.1e} of the largest value, {whole:.1e} with padding", flush=True)
    transcripts(paths, args)


if __name__ == "__main__":
    main()
