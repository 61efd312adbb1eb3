"""K-means of `cluster` beside the two usual ways, on the same frames: `python benchmarks/kmeans.py SAMPLE [K ...]`.

SAMPLE is a `sample` folder. Prints processor time and inertia (mean squared distance of a frame to its centroid, over
all frames) as ratios to ours: faiss.Kmeans as it comes (256 frames a centroid), and scikit-learn's MiniBatchKMeans with
the settings of fairseq's HuBERT recipe (k-means++, batches of 10,000, 100 iterations, 20 starts, no reassignment).
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from speechprep.artifacts import manifest
from speechprep.tokenizers.quantizer import FaissQuantizer, assign


def read(folder: str) -> np.ndarray:
    dim = manifest.read(folder).extra["dim"]
    shards = [pq.read_table(path, columns=["features"]) for path in sorted(Path(folder).glob("part-*"))]
    return np.concatenate([np.frombuffer(x.as_buffer(), "<f4").reshape(-1, dim) for t in shards for x in t.column(0)])


def inertia(frames: np.ndarray, centroids: np.ndarray) -> float:
    chosen = centroids[assign(frames, centroids)].astype(np.float64)
    return float(((frames - chosen) ** 2).sum(axis=1).mean())


def ours(frames: np.ndarray, k: int) -> np.ndarray:
    return FaissQuantizer(device="cpu").fit(frames, k, seed=0).centroids


def plain_faiss(frames: np.ndarray, k: int) -> np.ndarray:
    import faiss

    kmeans = faiss.Kmeans(frames.shape[1], k, niter=25, seed=0)
    kmeans.train(frames)
    return kmeans.centroids


def mini_batch(frames: np.ndarray, k: int) -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(
        k, init="k-means++", batch_size=10_000, max_iter=100, max_no_improvement=100, n_init=20, tol=0.0,
        reassignment_ratio=0.0, random_state=0, compute_labels=False,
    )  # fmt: skip
    return model.fit(frames).cluster_centers_.astype(np.float32)


def timed(fit: Callable[[np.ndarray, int], np.ndarray], frames: np.ndarray, k: int) -> tuple[float, float]:
    began = time.process_time()
    centroids = fit(frames, k)
    return time.process_time() - began, inertia(frames, centroids)


def main() -> None:
    warnings.simplefilter("ignore")
    frames = read(sys.argv[1])
    print(f"{frames.shape[0]} frames of {frames.shape[1]}")
    for k in map(int, sys.argv[2:] or ["100", "500"]):
        spent, reached = timed(ours, frames, k)
        print(f"k={k}: speechprep {spent:.2f} cpu s, inertia {reached:.1f}")
        for name, fit in (("faiss as it comes", plain_faiss), ("MiniBatchKMeans", mini_batch)):
            other, theirs = timed(fit, frames, k)
            print(f"  {name}: {other / spent:.2f} x our time, {theirs / reached:.4f} x our inertia")


if __name__ == "__main__":
    main()
