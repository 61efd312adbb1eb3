"""Search backends for nearest centroids on a GPU, by torch or FAISS.

    search = gpu_search()                    # None if neither finds a GPU
    Centroids(centroids, search).nearest(block)

A backend returns the best centroid of each frame and the two best scores in float32. `Centroids` recomputes a frame on
the CPU in float64 if its two scores are closer than the error bound of the backend: about 2 % of the frames at 768
dimensions. Sums, seeds and orders are computed on the CPU (`lloyd`). A GPU therefore changes the time, but no bit of
the result.

`TorchSearch` caches blocks on the device while there is room. A sample of that size is transferred once for each
subset, not once for each iteration. TF32 stays off because it is less precise.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Any

import numpy as np

from speechprep.tokenizers.kmeans.frames import Block
from speechprep.tokenizers.kmeans.nearest import F32, F64, UNIT_ROUNDOFF, CentroidSearch, Top2, product_error

CACHE_SHARE = 0.7  # fraction of the free device memory


def gpu_search() -> CentroidSearch | None:
    """The search backend for this machine's GPU: torch if it finds a GPU, otherwise FAISS if it finds one, or None."""
    if find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            return TorchSearch("cuda")
    if find_spec("faiss") is not None:
        import faiss

        if faiss.get_num_gpus():  # without a GPU, `gpu=True` would use the CPU or end the process
            return FaissSearch(gpu=True)
    return None


class TorchSearch:
    """Nearest centroids by a matrix product in torch.

    Args:
        device: "cuda", "cuda:1", ... or "cpu".
        cache: bytes of frames kept on the device; None: `CACHE_SHARE` of its free memory, 0 on a CPU.
    """

    def __init__(self, device: str = "cuda", cache: int | None = None) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device)
        if cache is None:
            cache = int(CACHE_SHARE * torch.cuda.mem_get_info(self._device)[0]) if self._device.type == "cuda" else 0
        self._room = cache
        self._cached: dict[tuple[int, int], Any] = {}
        self._lock = threading.Lock()

    def prepare(self, centroids: F32, half: F32) -> None:
        """See `CentroidSearch`."""
        self._centroids = self._torch.from_numpy(centroids).to(self._device).T.contiguous()
        self._half = self._torch.from_numpy(half).to(self._device)

    def top2(self, block: Block) -> Top2:
        """See `CentroidSearch`."""
        torch = self._torch
        with torch.inference_mode():
            scores = torch.addmm(self._half, self._frames(block), self._centroids, alpha=-1)
            lowest, best = scores.min(dim=1)
            scores.scatter_(1, best[:, None], torch.inf)
            return best.cpu().numpy(), lowest.cpu().numpy(), scores.amin(dim=1).cpu().numpy()

    def _frames(self, block: Block) -> Any:
        if block.name is not None:
            with self._lock:
                cached = self._cached.get(block.name)
            if cached is not None:
                return cached
        frames = self._torch.from_numpy(block.data).to(self._device)
        size = frames.numel() * 4
        with self._lock:
            if block.name is not None and size <= self._room:
                self._room -= size
                self._cached[block.name] = frames
        return frames

    def clear_cache(self) -> None:
        """Free the memory of the cached blocks."""
        with self._lock:
            self._room += sum(frames.numel() * 4 for frames in self._cached.values())
            self._cached.clear()

    def error_bound(self, norms: F64, norm: float, dim: int) -> F64:
        """See `CentroidSearch`."""
        return product_error(norms, norm, dim, UNIT_ROUNDOFF)


class FaissSearch:
    """Nearest centroids by a flat FAISS index, on all GPUs or on the CPU."""

    def __init__(self, *, gpu: bool) -> None:
        self._gpu = gpu
        self._lock = threading.Lock()  # an index on a GPU serves one search at a time

    def prepare(self, centroids: F32, half: F32) -> None:
        """See `CentroidSearch`."""
        import faiss

        index = faiss.IndexFlatL2(centroids.shape[1])
        self._index = faiss.index_cpu_to_all_gpus(index) if self._gpu else index
        self._index.add(centroids)
        self._k = len(centroids)

    def top2(self, block: Block) -> Top2:
        """See `CentroidSearch`."""
        with self._lock:
            squared, best = self._index.search(block.data, min(2, self._k))
        runner_up: F32 = squared[:, 1] if self._k > 1 else np.full(len(squared), np.inf, dtype=np.float32)
        return best[:, 0].copy(), squared[:, 0] / 2, runner_up / np.float32(2)

    def clear_cache(self) -> None:
        """Nothing is cached."""

    def error_bound(self, norms: F64, norm: float, dim: int) -> F64:
        """The bound of the product plus that of |x|^2 and |c|^2, which FAISS also computes in float32."""
        return product_error(norms, norm, dim, UNIT_ROUNDOFF) + np.asarray(
            UNIT_ROUNDOFF * (dim + 4) * (norm**2 + norms**2)
        )
