"""`hubert` and `whisper` beside the plain loop over transformers, at base size with random weights, fp32, one thread.

    python benchmarks/extractors.py [--seconds 40] [--two-workers]

The plain loop runs one utterance at a time through all layers and takes the nearest of K=500 centroids; the cost does
not depend on the weights' values. All ways take turns on each utterance, so a busy machine is busy for all of them.
Prints processor seconds for a second of speech, ratios to the plain loop, whether the frames are bit for bit the same,
and for bf16 the miss rate of its units. `--two-workers` compares wall times: one thread of work against two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from speechprep.pipelines.backends.extractors.hubert import HubertExtractor
from speechprep.pipelines.backends.extractors.precision import fast_dtypes
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.tokenizers.kmeans.nearest import Centroids

RATE, K = 16_000, 500
AT_LEAST = 60.0  # seconds for two workers: of a few clips one worker gets more than half


def models(root: Path) -> tuple[Path, Path]:
    """HuBERT-base and the base Whisper, random weights."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    hubert, whisper = root / "hubert", root / "whisper"
    hf.HubertModel(hf.HubertConfig()).save_pretrained(hubert)
    hf.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(hubert)
    config = hf.WhisperConfig(
        d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048, decoder_layers=1,
        decoder_attention_heads=8,
    )  # fmt: skip
    hf.WhisperModel(config).save_pretrained(whisper)
    hf.WhisperFeatureExtractor(feature_size=80).save_pretrained(whisper)
    return hubert, whisper


def clips(seconds: float) -> list[np.ndarray]:
    """Noise of 2 to 12 s, `seconds` in all."""
    rng = np.random.default_rng(0)
    made: list[np.ndarray] = []
    while (left := seconds - sum(len(c) for c in made) / RATE) > 0.5:
        n = min(rng.uniform(2, 12), left)
        made.append((rng.standard_normal(round(n * RATE)) * 0.1).astype(np.float32))
    return made


def plain(folder: Path, field: str) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The usual loop's step: audio -> all hidden states."""
    import torch
    import transformers as hf

    model = hf.AutoModel.from_pretrained(folder).eval()
    model = model.encoder if field == "input_features" else model
    tools = hf.AutoFeatureExtractor.from_pretrained(folder)

    def step(audio: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            heard = tools(audio, sampling_rate=RATE, return_tensors="pt")[field]
            return [h[0].numpy() for h in model(heard, output_hidden_states=True).hidden_states]

    return step


def nearest(frames: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The usual argmin."""
    return ((frames**2).sum(1, keepdims=True) - 2 * frames @ centroids.T + (centroids**2).sum(1)).argmin(1)


def warm(step: Callable, ours: dict[str, Any], clip: np.ndarray) -> None:
    """Load ours, and let each run once: first calls cost more."""
    for extractor in ours.values():
        extractor.load()
        extractor.extract([clip])
    step(clip)


def compare(title: str, step: Callable, ours: dict[str, Any], audio: list[np.ndarray], centroids: dict) -> None:
    """One table: the plain loop, then each extractor of the package; `ours` by label, `centroids` by layer."""
    books = {layer: Centroids(c) for layer, c in centroids.items()}
    cpu = dict.fromkeys(["plain", *ours], 0.0)
    equal, missed, frames = dict.fromkeys(ours, True), dict.fromkeys(ours, 0), 0
    for clip in audio:
        began = time.process_time()
        states = step(clip)
        nearest(states[-1], centroids[max(centroids)])
        cpu["plain"] += time.process_time() - began
        for label, extractor in ours.items():
            book = books[extractor.layer]
            began = time.process_time()
            found = extractor.extract([clip])[0]
            units = book.assign(found)
            cpu[label] += time.process_time() - began
            wanted = states[extractor.layer][: len(found)]
            equal[label] &= np.array_equal(found, wanted)
            missed[label] += int((units != book.assign(wanted)).sum())
        frames += len(found)
    seconds = sum(map(len, audio)) / RATE
    print(f"{title}: plain loop {cpu['plain'] / seconds:.3f} cpu s for a second of speech, {frames} frames", flush=True)
    for label in ours:
        state = "bit-equal" if equal[label] else f"miss rate {100 * missed[label] / frames:.2f} %"
        print(
            f"  {label:22} {cpu[label] / seconds:.3f} cpu s/s  {cpu['plain'] / cpu[label]:5.2f} x  {state}", flush=True
        )


def book(step: Callable, layers: list[int], seed: int) -> dict[int, np.ndarray]:
    """Centroids for each layer: frames of other noise."""
    audio = (np.random.default_rng(seed).standard_normal(12 * RATE) * 0.1).astype(np.float32)
    states = step(audio)
    return {layer: np.ascontiguousarray(states[layer][:K]) for layer in layers}


def two_workers(extractor: Any, audio: list[np.ndarray]) -> tuple[float, float]:
    """Wall time of one thread of work over that of two; and the same of processor time, which a busy machine spares."""
    wall, cpu = [], []
    for workers in (1, 2):
        began, spent = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda clip: extractor.extract([clip]), audio))
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    return wall[0] / wall[1], cpu[0] / cpu[1]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--two-workers", action="store_true")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    bf16 = "bf16" in fast_dtypes("cpu")
    if not bf16:
        print("bf16 is left out: this CPU has no instructions for it")
    audio = clips(args.seconds)
    with tempfile.TemporaryDirectory() as root:
        hubert, whisper = models(Path(root))
        ours: dict[str, Any] = {
            "layer 6": HubertExtractor(str(hubert), 6, device="cpu"),
            "layer 9": HubertExtractor(str(hubert), 9, device="cpu"),
        }
        if bf16:
            ours["layer 9, bf16"] = HubertExtractor(str(hubert), 9, device="cpu", dtype="bf16")
        step = plain(hubert, "input_values")
        warm(step, ours, audio[0])
        compare("HuBERT-base", step, ours, audio, book(step, [6, 9, 12], 1))
        if args.two_workers:
            faster, work = two_workers(ours["layer 9"], clips(max(args.seconds, AT_LEAST)))
            print(
                f"  two workers            {faster:.2f} x one, wall time; {work:.2f} x the work for a processor second"
            )
        ours = {
            "layer 4 of 6": WhisperExtractor(str(whisper), 4, device="cpu"),
            "layer 6 of 6": WhisperExtractor(str(whisper), 6, device="cpu"),
            "layer 6, truncate": WhisperExtractor(str(whisper), 6, device="cpu", truncate=True),
        }
        if bf16:
            ours["layer 6, bf16"] = WhisperExtractor(str(whisper), 6, device="cpu", dtype="bf16")
        step = plain(whisper, "input_features")
        warm(step, ours, audio[0])
        compare("Whisper-base encoder", step, ours, audio, book(step, [4, 6], 1))


if __name__ == "__main__":
    main()
