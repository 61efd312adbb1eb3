"""Who proposes nearest centroids where there is a GPU: torch, or FAISS.

    finder = gpu_finder()                    # None where neither sees a GPU
    Centroids(centroids, finder).nearest(block)

A finder gives, for each frame, the best centroid and the scores of the best two in float32. `Centroids` looks at every
frame again, on the CPU and in float64, whose two scores are closer than the finder's error can be: with 768 dimensions
about 2 % of the frames. Sums, seeds and the order of things are the CPU's own and exact (`lloyd`). So a GPU changes the
time and not one bit of the codebook.

`TorchFinder` keeps the blocks that it has seen on the device as long as there is room, so a sample that fits there
crosses the bus once for each subset, not once for each iteration. TF32 is a coarser arithmetic and stays off.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Any

import numpy as np

from speechprep.tokenizers.kmeans.frames import Block
from speechprep.tokenizers.kmeans.nearest import F32, F64, UNIT_ROUNDOFF, Finder, Top2, product_error

CACHE_SHARE = 0.7  # of the device's free memory


def gpu_finder() -> Finder | None:
    """The finder of this machine's GPU: by torch where torch sees one, else by FAISS where FAISS does, else None."""
    if find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            return TorchFinder("cuda")
    if find_spec("faiss") is not None:
        import faiss

        if faiss.get_num_gpus():  # never `gpu=True` unasked: without a GPU, FAISS takes the CPU or ends the process
            return FaissFinder(gpu=True)
    return None


class TorchFinder:
    """Matrix products by torch.

    Args:
        device: "cuda", "cuda:1", ...; "cpu" works too.
        cache: bytes of frames kept on the device; by default a share of what is free there, nothing on a CPU.
    """

    def __init__(self, device: str = "cuda", cache: int | None = None) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device)
        if cache is None:
            cache = int(CACHE_SHARE * torch.cuda.mem_get_info(self._device)[0]) if self._device.type == "cuda" else 0
        self._room = cache
        self._kept: dict[tuple[int, int], Any] = {}
        self._lock = threading.Lock()

    def prepare(self, centroids: F32, half: F32) -> None:
        """See `Finder`."""
        self._centroids = self._torch.from_numpy(centroids).to(self._device).T.contiguous()
        self._half = self._torch.from_numpy(half).to(self._device)

    def top2(self, block: Block) -> Top2:
        """See `Finder`."""
        torch = self._torch
        with torch.inference_mode():
            scores = torch.addmm(self._half, self._frames(block), self._centroids, alpha=-1)
            lowest, best = scores.min(dim=1)
            scores.scatter_(1, best[:, None], torch.inf)
            return best.cpu().numpy(), lowest.cpu().numpy(), scores.amin(dim=1).cpu().numpy()

    def _frames(self, block: Block) -> Any:
        if block.name is not None:
            with self._lock:
                kept = self._kept.get(block.name)
            if kept is not None:
                return kept
        frames = self._torch.from_numpy(block.data).to(self._device)
        size = frames.numel() * 4
        with self._lock:
            if block.name is not None and size <= self._room:
                self._room -= size
                self._kept[block.name] = frames
        return frames

    def forget(self) -> None:
        """Give the room of the kept blocks back."""
        with self._lock:
            self._room += sum(frames.numel() * 4 for frames in self._kept.values())
            self._kept.clear()

    def error(self, norms: F64, norm: float, dim: int) -> F64:
        """See `Finder`."""
        return product_error(norms, norm, dim, UNIT_ROUNDOFF)


class FaissFinder:
    """Search by a flat FAISS index: on all GPUs that FAISS sees, or on the CPU."""

    def __init__(self, *, gpu: bool) -> None:
        self._gpu = gpu
        self._lock = threading.Lock()  # an index on a GPU serves one search at a time

    def prepare(self, centroids: F32, half: F32) -> None:
        """See `Finder`."""
        import faiss

        index = faiss.IndexFlatL2(centroids.shape[1])
        self._index = faiss.index_cpu_to_all_gpus(index) if self._gpu else index
        self._index.add(centroids)
        self._k = len(centroids)

    def top2(self, block: Block) -> Top2:
        """See `Finder`."""
        with self._lock:
            squared, best = self._index.search(block.data, min(2, self._k))
        runner_up: F32 = squared[:, 1] if self._k > 1 else np.full(len(squared), np.inf, dtype=np.float32)
        return best[:, 0].copy(), squared[:, 0] / 2, runner_up / np.float32(2)

    def forget(self) -> None:
        """Nothing is kept."""

    def error(self, norms: F64, norm: float, dim: int) -> F64:
        """FAISS makes |x|^2 and |c|^2 in float32 as well, and adds them to the product."""
        return product_error(norms, norm, dim, UNIT_ROUNDOFF) + np.asarray(
            UNIT_ROUNDOFF * (dim + 4) * (norm**2 + norms**2)
        )
