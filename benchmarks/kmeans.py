"""K-means of `cluster` beside FAISS and scikit-learn, on the same frames: `python benchmarks/kmeans.py SPEECH [...]`.

SPEECH holds folders of audio, each with a `manifest.jsonl` (id, audio). The frames are made so that they are like those
of a layer of HuBERT, but need no model: 39 MFCC every 10 ms, 21 neighbouring frames together, through a fixed random
layer of 1,536 tanh units, whose outputs are given falling weights and mixed into 768 values; and a little noise. The
million is the same speech three times: clean, and with white noise at 20 and 10 dB. 200,000 are every fifth of it.

Prints, for each number of frames and K, wall time (with `--threads` for everybody) and inertia (mean squared distance
of a frame to its nearest centroid, over all frames) of

    ours      KMeans as it comes, its final assignment of all frames included
    faiss     faiss.Kmeans on all frames (max_points_per_centroid lifted), 25 iterations, and the same assignment
    sklearn   MiniBatchKMeans with the settings of fairseq's HuBERT recipe: k-means++, batches of 10,000, 100 epochs,
              20 starts, stops after 100 batches without improvement, no reassignment

and the ratios that count: our time in theirs, our inertia in theirs. The runs take turns in one process each.
scikit-learn's takes hours where K is large: `--sklearn-limit 5` ends it at the first batch that is done after 5 times
our processor time, and the line says so. Its starts come first and are not cut short; `--sklearn-starts 1` makes one of
them instead of 20, which saves it time.
`--memory` prints peak memory instead: of a fit over an array against the array's size, and of one over a file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

DIM = 768
CONTEXT = 10
SNR = (None, 20.0, 10.0)
MILLION = 1_000_000


def make_frames(speech: Path, path: Path) -> None:
    """A million frames into `path` (.npy)."""
    from speechprep.artifacts.media import audio
    from speechprep.pipelines.backends.extractors.mfcc import MfccExtractor

    extractor = MfccExtractor()
    extractor.load()
    rng = np.random.default_rng(0)
    files = [
        folder.parent / json.loads(line)["audio"]
        for folder in sorted(speech.glob("*/manifest.jsonl"))
        if folder.parent.name
        in ("librispeech-mini", "librispeech-other", "ljspeech-aligned", "timit-sample", "longform", "misc-speech")
        for line in folder.read_text().splitlines()
    ]
    parts = []
    for snr in SNR:
        for file in files:
            sound = audio.decode(str(file), sample_rate=16_000)
            if snr is not None:
                level = np.sqrt((sound**2).mean()) * 10 ** (-snr / 20)
                sound = (sound + level * rng.standard_normal(len(sound))).astype(np.float32)
            parts.append(extractor.extract([sound])[0])
    mean, std = np.concatenate(parts).mean(axis=0), np.concatenate(parts).std(axis=0)
    width = 2 * CONTEXT + 1
    into = (rng.standard_normal((width * 39, 2 * DIM)) / np.sqrt(width * 39)).astype(np.float32)
    out = (rng.standard_normal((2 * DIM, DIM)) * np.arange(1, 2 * DIM + 1)[:, None] ** -0.3).astype(np.float32)
    out /= np.sqrt((out**2).sum(axis=0).mean())
    found = np.lib.format.open_memmap(path, "w+", np.float32, (MILLION, DIM))
    at = 0
    for part in parts:
        padded = np.pad((part - mean) / std, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
        stacked = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0).transpose(0, 2, 1)
        made = np.tanh(1.5 * stacked.reshape(len(part), -1) @ into) @ out
        made += 0.15 * rng.standard_normal(made.shape, dtype=np.float32)
        found[at : at + len(made)] = made[: MILLION - at]
        at = min(at + len(made), MILLION)
    if at < MILLION:
        raise SystemExit(f"{speech} gives {at} frames only")


def load(path: Path, n: int) -> np.ndarray:
    """Every so manieth frame; read, not mapped, so that the file is no memory of this process."""
    step, found = MILLION // n, np.empty((n, DIM), np.float32)
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for start in range(0, n, 1000):
            part = found[start : start + 1000]
            part[:] = np.fromfile(file, np.float32, len(part) * step * DIM).reshape(-1, DIM)[::step]
    return found


def ours(frames: Any, k: int, seed: int, threads: int) -> tuple[np.ndarray, dict[str, Any]]:
    from speechprep.tokenizers.kmeans.fit import KMeans

    fit = KMeans(threads=threads, device="cpu").fit(frames, k, seed)
    return fit.centroids, {"schedule": fit.schedule}


def faiss_full(
    frames: np.ndarray, k: int, seed: int, threads: int, **options: Any
) -> tuple[np.ndarray, dict[str, Any]]:
    import faiss

    faiss.omp_set_num_threads(threads)
    n = len(frames)
    kmeans = faiss.Kmeans(
        frames.shape[1], k, niter=25, seed=seed, max_points_per_centroid=n, min_points_per_centroid=1, **options
    )
    kmeans.train(frames)
    kmeans.index.search(frames, 1)
    return kmeans.centroids, {"version": faiss.__version__}


def faiss_super(frames: np.ndarray, k: int, seed: int, threads: int) -> tuple[np.ndarray, dict[str, Any]]:
    return faiss_full(frames, k, seed, threads, use_super_kmeans=True)


def sklearn(
    frames: np.ndarray, k: int, seed: int, threads: int, limit: float, starts: int
) -> tuple[np.ndarray, dict[str, Any]]:
    import sklearn as package
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    began, stopped = time.process_time(), False

    class Limited(MiniBatchKMeans):
        """Ends between two batches when `limit` seconds of processor time are over."""

        def _mini_batch_convergence(self, step: int, *state: Any) -> bool:  # what fit() asks after each batch
            nonlocal stopped
            done = super()._mini_batch_convergence(step, *state)
            stopped = not done and step > 0 and time.process_time() - began > limit  # it keeps no inertia of the first
            return done or stopped

    model = Limited(
        k, init="k-means++", batch_size=10_000, max_iter=100, max_no_improvement=100, n_init=starts, tol=0.0,
        reassignment_ratio=0.0, random_state=seed, compute_labels=False,
    )  # fmt: skip
    with threadpool_limits(threads):
        model.fit(frames)
    facts = {"version": package.__version__, "starts": starts, "batches": int(model.n_steps_), "stopped": stopped}
    return model.cluster_centers_.astype(np.float32), facts


HOW = {"ours": ours, "faiss": faiss_full, "faiss-super": faiss_super, "sklearn": sklearn}


def child(arguments: argparse.Namespace) -> None:
    """One run, in a process of its own; the result as JSON."""
    warnings.simplefilter("ignore")
    frames = load(arguments.frames_file, arguments.child_frames)
    began, cpu = time.perf_counter(), time.process_time()
    options = {}
    if arguments.child == "sklearn":
        options = {"limit": arguments.child_limit, "starts": arguments.sklearn_starts}
    centroids, facts = HOW[arguments.child](frames, arguments.k[0], arguments.seed, arguments.threads, **options)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    from speechprep.tokenizers.kmeans.nearest import assign

    chosen = assign(frames, centroids)
    total = 0.0
    for start in range(0, len(frames), 8192):
        block = slice(start, start + 8192)
        total += float(((frames[block].astype(np.float64) - centroids[chosen[block]]) ** 2).sum())
    print(json.dumps({"wall": wall, "cpu": cpu, "inertia": total / len(frames), **facts}))


def run(name: str, n: int, k: int, arguments: argparse.Namespace, limit: float) -> dict[str, Any]:
    command = [sys.executable, __file__, str(arguments.speech), "--frames-file", str(arguments.frames_file)]
    command += ["--child", name, "--child-frames", str(n), "--k", str(k), "--threads", str(arguments.threads)]
    command += ["--seed", str(arguments.seed), "--child-limit", str(limit)]
    command += ["--sklearn-starts", str(arguments.sklearn_starts)]
    settings = {"OMP_NUM_THREADS": str(arguments.threads), "OPENBLAS_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **settings})
    return json.loads(done.stdout.splitlines()[-1])


def compare(arguments: argparse.Namespace) -> None:
    for n in arguments.frames:
        for k in arguments.k:
            found: dict[str, dict[str, Any]] = {}
            for name in arguments.only:
                limit = arguments.sklearn_limit * found["ours"]["cpu"] if "ours" in found else math.inf
                found[name] = run(name, n, k, arguments, limit)
                mine = found["ours"]
                line = f"{n} x {DIM}, K={k}: {name:<11} {found[name]['wall']:7.1f} s, {found[name]['cpu']:7.1f} cpu s, "
                line += f"inertia {found[name]['inertia']:.3f}"
                if name != "ours":
                    line += f"; ours takes {mine['wall'] / found[name]['wall']:.2f} x its time"
                    line += f" ({mine['cpu'] / found[name]['cpu']:.2f} x its cpu), "
                    line += f"{100 * (mine['inertia'] / found[name]['inertia'] - 1):+.3f} % its inertia"
                if "batches" in found[name]:
                    how = "stopped by the limit" if found[name]["stopped"] else "ended by itself"
                    line += f"; {how} after {found[name]['starts']} starts and {found[name]['batches']} batches"
                print(line, flush=True)


def memory(arguments: argparse.Namespace) -> None:
    """Of a fit in this process: over an array, or over a file where `--big` gives its size in GB."""
    from speechprep.tokenizers.kmeans.fit import KMeans
    from speechprep.tokenizers.kmeans.frames import FrameFile

    kmeans = KMeans(arguments.iterations, threads=arguments.threads, device="cpu")
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if arguments.big:
        path = arguments.frames_file.with_suffix(".f32")
        rows = round(arguments.big * 1e9) // (4 * DIM)
        source, rng = load(arguments.frames_file, 50_000), np.random.default_rng(0)
        with path.open("wb") as file:
            for start in range(0, rows, 4096):
                part = source[start % 45_000 :][: min(4096, rows - start)]
                file.write((part + 0.1 * rng.standard_normal(part.shape, dtype=np.float32)).tobytes())
        del source, part
        size = path.stat().st_size / 1e6
        began = time.perf_counter()
        with FrameFile(path, DIM) as frames:
            fit = kmeans.fit(frames, arguments.k[0], 0)
        path.unlink()
    else:
        frames = load(arguments.frames_file, arguments.frames[0])
        size = frames.nbytes / 1e6
        began = time.perf_counter()
        fit = kmeans.fit(frames, arguments.k[0], 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        f"{size:.0f} MB of frames, K={arguments.k[0]}, {len(fit.inertia)} iterations: peak memory {peak:.0f} MB "
        f"({peak / size:.2f} x), {base:.0f} MB before, {time.perf_counter() - began:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("speech", type=Path, nargs="?", default=shared)
    parser.add_argument("--frames", type=int, nargs="+", default=[200_000])
    parser.add_argument("--k", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--only", nargs="+", default=["ours", "faiss", "sklearn"], choices=list(HOW))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sklearn-limit", type=float, default=math.inf, help="times our processor time")
    parser.add_argument("--sklearn-starts", type=int, default=20)
    parser.add_argument("--frames-file", type=Path, default=Path(tempfile.gettempdir()) / "speech-like-frames.npy")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--big", type=float, default=0.0, help="with --memory: GB of a file to cluster")
    parser.add_argument("--iterations", type=int, default=11, help="with --memory")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--child-frames", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child-limit", type=float, default=math.inf, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.frames_file.exists():
        make_frames(arguments.speech, arguments.frames_file)
    if arguments.child:
        child(arguments)
    elif arguments.memory:
        memory(arguments)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
