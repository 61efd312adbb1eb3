"""Units on a GPU: `python benchmarks/gpu.py --out FOLDER [--part hubert-base ...] [--hours 4]`; `--small` anywhere.

Needs PyTorch and transformers, NumPy and PyArrow, and nothing else of the project's packages. Builds HuBERT-base and
-large and Whisper-small and -medium with random weights (the cost does not depend on them), makes noise with the
lengths of speech (2 to 35 s), and runs the extractors as the stage `units` does: in windows of neighbours, batches by
seconds, units on the device, K = 2,000. Decoding is not part of it. For each model and precision:

    x real time     hours of audio in an hour, from samples on the host to units on the host
    share of peak   operations of the model for the audio without padding, by the best rate of an 8192^3 product
    padding         samples run for each sample of speech
    memory          most that was taken of the GPU's
    miss rate       units that change between batches of 1, 8 and 32, and against fp32 in batches of 1

`kmeans` clusters 10 million frames of 768 values into 2,000 units.
Each part is written to FOLDER/gpu.json as it ends; a part that fails or has no time left is named and passed over.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from speechprep.pipelines.backends.extractors.encoder_windows import groups
from speechprep.pipelines.backends.extractors.hubert import HubertExtractor
from speechprep.pipelines.backends.extractors.miss_rate import units_in_batches, unlike
from speechprep.pipelines.backends.extractors.whisper import WhisperExtractor
from speechprep.tokenizers.kmeans.fit import KMeans
from speechprep.tokenizers.kmeans.nearest import Centroids

RATE = 16_000
MODELS = {  # layer of the units, and the sizes
    "hubert-base": (9, {}),
    "hubert-large": (18, {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
                          "intermediate_size": 4096, "feat_extract_norm": "layer", "do_stable_layer_norm": True,
                          "conv_bias": True}),
    "whisper-small": (12, {"d_model": 768, "encoder_layers": 12, "encoder_attention_heads": 12,
                           "encoder_ffn_dim": 3072}),
    "whisper-medium": (24, {"d_model": 1024, "encoder_layers": 24, "encoder_attention_heads": 16,
                            "encoder_ffn_dim": 4096}),
}  # fmt: skip
TINY = {
    "hubert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
               "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2},
    "whisper": {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64},
}  # fmt: skip


def build(name: str, folder: Path, *, small: bool) -> None:
    """A model of the name's size with random weights."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    kind = name.split("-")[0]
    sizes = {**MODELS[name][1], **(TINY[kind] if small else {})}
    if kind == "hubert":
        hf.HubertModel(hf.HubertConfig(**sizes)).save_pretrained(folder)
        hf.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    else:
        decoder = {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": 64}
        ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
        hf.WhisperModel(hf.WhisperConfig(**sizes, **decoder, **ids)).save_pretrained(folder)
        hf.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def make(name: str, folder: Path, **how: Any) -> Any:
    """The loaded extractor of a model that was built."""
    config = json.loads((folder / "config.json").read_text())
    if name.startswith("hubert"):
        kind, layers = HubertExtractor, config["num_hidden_layers"]
    else:
        kind, layers = WhisperExtractor, config["encoder_layers"]
    extractor = kind(str(folder), min(MODELS[name][0], layers), **how)
    extractor.load()
    return extractor


def speech(hours: float, seed: int = 0) -> list[np.ndarray]:
    """Noise in utterances of 2 to 35 s, 12 s on average, `hours` in all."""
    rng = np.random.default_rng(seed)
    made: list[np.ndarray] = []
    left = hours * 3600
    while left > 2:
        n = round(min(float(np.clip(rng.lognormal(2.35, 0.55), 2, 35)), left) * RATE)
        made.append(rng.standard_normal(n, dtype=np.float32) * np.float32(0.1))
        left -= n / RATE
    return made


def operations(extractor: Any, samples: int) -> float:
    """Floating-point operations of the model for one utterance alone, a product and its sum counted as two."""
    config, n = extractor.config, extractor.grid.num_frames(samples)
    if extractor.name == "whisper":
        dim, inner, n = extractor.dim, config["encoder_ffn_dim"], 1500 * max(1, round(samples / RATE / 30))
        front = 2 * n * 3 * dim * (2 * config["num_mel_bins"] + dim)
    else:
        dim, inner, front, channels, length = extractor.dim, config["intermediate_size"], 0, 1, samples
        kernels, strides = extractor._convolutions()
        for out, kernel, stride in zip(config["conv_dim"], kernels, strides, strict=True):
            length = (length - kernel) // stride + 1
            front += 2 * length * channels * kernel * out
            channels = out
        groups_, width = config["num_conv_pos_embedding_groups"], config["num_conv_pos_embeddings"]
        front += 2 * n * dim * (channels + dim // groups_ * width)
    return float(front + extractor.layer * n * (8 * dim * dim + 4 * dim * inner + 4 * n * dim))


def peak(device: str, *, small: bool) -> dict[str, float]:
    """Operations in a second of a product of two square matrices, by precision; the median of ten."""
    import torch

    n = 256 if small else 8192
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        found[name] = 2 * n**3 / timed(device, lambda a=a, b=b: a @ b, 10)  # type: ignore[misc]
    return found


def timed(device: str, do: Callable[[], Any], times: int) -> float:
    """Median seconds of a call, after one that does not count."""
    import torch

    def once() -> float:
        began = time.perf_counter()
        do()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    once()
    return float(np.median([once() for _ in range(times)]))


def windows_of(audio: list[np.ndarray], seconds: float) -> list[list[np.ndarray]]:
    """As the stage hands them over: neighbours of so many seconds together."""
    made: list[list[np.ndarray]] = [[]]
    for sound in audio:
        made[-1].append(sound)
        if sum(map(len, made[-1])) >= seconds * RATE:
            made.append([])
    return [window for window in made if window]


def run_model(name: str, folder: Path, audio: list[np.ndarray], how: dict[str, Any], rates: dict[str, float],
              device: str, k: int) -> dict[str, Any]:  # fmt: skip
    """One line of the table."""
    import torch

    extractor = make(name, folder, device=device, **how)
    frames = np.concatenate(extractor.extract(speech(max(k / 50 / 3600 * 1.3, 0.001), seed=9)))
    book = Centroids(np.ascontiguousarray(frames[np.random.default_rng(0).permutation(len(frames))[:k]]))
    windows = windows_of(audio, max(extractor.window_seconds, 60.0))
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = sum(map(len, audio)) / RATE
    wall = timed(device, lambda: [extractor.units(window, book) for window in windows], 3)
    work = sum(operations(extractor, len(sound)) for sound in audio)
    run = heard = 0
    for window in windows:
        spans = [extractor._span(len(sound)) for sound in window]
        batches = groups(spans, extractor._budget(), equal=extractor._alike())
        run += sum(len(batch) * max(spans[i] for i in batch) for batch in batches)
        heard += sum(map(len, window))
    rate = rates[how["dtype"]]
    return {
        "model": name, "layer": extractor.layer, **how, "hours": seconds / 3600, "wall": wall,
        "times_real_time": seconds / wall,
        "share_of_peak": work / wall / rate, "padding": run / heard,
        "memory_gb": torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None,
    }  # fmt: skip


def misses(name: str, folder: Path, audio: list[np.ndarray], device: str, dtypes: list[str], k: int) -> list[Any]:
    """Miss rates of batches of 8 and 32, by precision."""
    found: list[Any] = []
    exact: list[Any] = []
    book: Centroids | None = None
    for dtype in dtypes:
        extractor = make(name, folder, device=device, dtype=dtype)
        if book is None:
            frames = np.concatenate(extractor.extract(audio))
            book = Centroids(np.ascontiguousarray(frames[np.random.default_rng(0).permutation(len(frames))[:k]]))
        alone = units_in_batches(extractor, book, audio, 1)
        exact = exact or alone
        n = sum(map(len, exact))
        for batch in (1, 8, 32):
            units = alone if batch == 1 else units_in_batches(extractor, book, audio, batch)
            line = {"model": name, "dtype": dtype, "batch": batch, "frames": n}
            found.append({**line, "missed": unlike(units, alone) / n, "against_fp32": unlike(units, exact) / n})
    return found


def profile(name: str, folder: Path, audio: list[np.ndarray], device: str, out: Path) -> None:
    """Where the time of one window goes, as a table."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    extractor = make(name, folder, device=device, dtype="bf16")
    book = Centroids(np.ascontiguousarray(extractor.extract(audio[:2])[0][:20]))
    extractor.units(audio, book)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with recorded(activities=kinds) as found:
        extractor.units(audio, book)
    key = "self_cuda_time_total" if device == "cuda" else "self_cpu_time_total"
    table = found.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=70)
    (out / f"profile-{name}.txt").write_text(table)


def kmeans(device: str, *, small: bool) -> dict[str, Any]:
    """Time of k-means as `cluster` runs it, over frames around 5,000 centres, with the frames in the host's memory."""
    import torch

    n, dim, k = (2000, 16, 20) if small else (10_000_000, 768, 2000)
    torch.manual_seed(0)
    centres = torch.randn(5000, dim, device=device)
    frames = np.empty((n, dim), np.float32)
    for start in range(0, n, 1 << 18):
        block = frames[start : start + (1 << 18)]
        made = centres[torch.randint(5000, (len(block),), device=device)]
        block[:] = (made + torch.randn(len(block), dim, device=device)).cpu().numpy()
    steps: list[dict[str, float]] = []
    began = time.perf_counter()

    def said(step: Any) -> None:
        steps.append({"frames": step.frames, "inertia": step.inertia, "seconds": time.perf_counter() - began})
        print(f"{steps[-1]['seconds']:6.1f} s  k-means, iteration {step.iteration} of {step.iterations}", flush=True)

    fit = KMeans(device="gpu" if device == "cuda" else "cpu").fit(frames, k, seed=0, on_iteration=said)
    wall = time.perf_counter() - began
    return {"frames": n, "dim": dim, "k": k, "wall": wall, "iterations": len(fit.inertia), "steps": steps,
            "inertia": fit.final_inertia, "device": fit.device}  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The results as text."""
    about = found["machine"]
    rates = ", ".join(f"{name} {rate / 1e12:.0f}" for name, rate in found["peak"].items())
    lines = [f"{about['device']}, torch {about['torch']}, transformers {about['transformers']}", "",
             f"Matrix products of 8192 x 8192, TFLOP/s: {rates}", "",
             "| model, layer | precision | x real time | share of peak | padding | GPU memory |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in found["units"]:
        how = row["dtype"] + (", compiled" if row.get("compile") else "")
        how += f", {row['batch_seconds']:g} s" if row.get("batch_seconds") else ""
        memory = "" if row["memory_gb"] is None else f"{row['memory_gb']:.1f} GB"
        lines.append(
            f"| {row['model']}, {row['layer']} | {how} | {row['times_real_time']:,.0f} | "
            f"{row['share_of_peak']:.0%} | {row['padding']:.2f} | {memory} |"
        )
    lines += ["", "| model | precision | batch | miss rate | against fp32 |", "|---|---|---|---|---|"]
    for row in found["misses"]:
        lines.append(
            f"| {row['model']} | {row['dtype']} | {row['batch']} | {row['missed']:.3%} | {row['against_fp32']:.3%} |"
        )
    for row in found["kmeans"]:
        size = f"{row['frames']:,} x {row['dim']}, K = {row['k']}, {row['iterations']} iterations"
        lines += ["", f"k-means, {size}: {row['wall']:.1f} s"]
    lines += ["", *(f"Failed: {part}: {why}" for part, why in found["failed"].items())]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", action="append", choices=[*MODELS, "hubert-base-compiled", "kmeans"])
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--minutes", type=float, default=8.0, help="no part begins after these")
    parser.add_argument("--small", action="store_true", help="tiny models, little audio, k-means of a few frames")
    args = parser.parse_args()
    import torch
    import transformers

    began = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.out.mkdir(parents=True, exist_ok=True)
    about = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    found: dict[str, Any] = {"machine": about, "peak": peak(device, small=args.small), "units": [], "misses": [],
                             "kmeans": [], "failed": {}}  # fmt: skip
    hours, k = (0.01, 20) if args.small else (args.hours, 2000)
    audio = speech(hours)
    dtypes = ["bf16", "fp16", "fp32"] if device == "cuda" else ["fp32", "bf16"]

    def part(label: str, do: Callable[[], Any]) -> None:
        """One step; whatever befalls it, the others' results are kept."""
        if time.monotonic() - began > 60 * args.minutes:
            found["failed"][label] = "no time left"
        else:
            try:
                do()
            except (RuntimeError, ValueError, ImportError) as error:
                found["failed"][label] = str(error).splitlines()[0][:200]
        (args.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
        print(f"{time.monotonic() - began:6.1f} s  {label}  {found['failed'].get(label, '')}", flush=True)

    parts = args.part or [*MODELS, "kmeans"]
    root = Path(tempfile.mkdtemp())
    try:
        for name in (part.removesuffix("-compiled") for part in parts if part != "kmeans"):
            folder = root / name
            build(name, folder, small=args.small)
            hows: list[dict[str, Any]] = [{"dtype": dtype} for dtype in dtypes]
            if "hubert-base-compiled" in parts:
                hows = [{"dtype": "bf16", "batch_seconds": 320.0, "compile": True}]
            elif device == "cuda":
                hows += [{"dtype": "bf16", "batch_seconds": seconds} for seconds in (320.0, 640.0)]
            few = speech(min(hours, 0.1), seed=5)
            plan: list[tuple[str, Callable[[], Any]]] = []
            for how in hows:
                some = audio if how["dtype"] != "fp32" else audio[: max(len(audio) // 8, 2)]
                one = partial(run_model, name, folder, some, how, found["peak"], device, k)
                plan.append((" ".join(map(str, how.values())), lambda one=one: found["units"].append(one())))  # type: ignore[misc]
            order = sorted(dtypes, key=lambda dtype: dtype != "fp32")
            several = partial(misses, name, folder, few, device, order, k)
            plan.append(("misses", lambda several=several: found["misses"].extend(several())))  # type: ignore[misc]
            plan.append(("profile", partial(profile, name, folder, few, device, args.out)))
            for label, do in plan:
                part(f"{name} {label}", do)
        if "kmeans" in parts:
            part("kmeans", lambda: found["kmeans"].append(kmeans(device, small=args.small)))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    (args.out / "gpu.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
