"""Batches through a model one after the other, with the host a batch ahead of the GPU; on a CPU simply in turn.

While a GPU computes a batch, the host makes the next one ready, and a result travels while the batch after it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_batches(
    batches: list[list[int]],
    stage: Callable[[list[int]], tuple[Any, ...]],
    run: Callable[..., Any],
    computing: Callable[[], AbstractContextManager[Any]],
    device: Any,
) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """Each batch with what `run` made of it, as an array of the host, in order.

    Args:
        batches: numbers of items.
        stage: a batch -> arguments of `run`, on their way to the device.
        run: -> a tensor on the device.
        computing: the context in which both run.
        device: of torch.
    """
    on_gpu = device.type == "cuda"
    staged: tuple[Any, ...] | None = None
    pending: tuple[list[int], Any, Any] | None = None
    for number, batch in enumerate(batches):
        with computing():
            made = run(*(stage(batch) if staged is None else staged))
            staged = stage(batches[number + 1]) if on_gpu and number + 1 < len(batches) else None
            made, ready = _to_host(made) if on_gpu else (made, None)
        if pending is not None:
            yield _whole(*pending)
        pending = (batch, made, ready)
    if pending is not None:
        yield _whole(*pending)


def zeros(device: Any, *shape: int) -> Any:
    """A tensor of float32 zeros on the host, which a GPU can fetch by itself."""
    import torch

    return torch.zeros(shape, pin_memory=device.type == "cuda")


def to_device(array: NDArray[Any], device: Any) -> Any:
    """A tensor on its way to the device."""
    import torch

    return torch.from_numpy(array).to(device, non_blocking=True)


def _to_host(made: Any) -> tuple[Any, Any]:
    """The tensor on the host, and the event after which it is whole."""
    import torch

    host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
    host.copy_(made, non_blocking=True)
    ready = torch.cuda.Event()
    ready.record()
    return host, ready


def _whole(batch: list[int], made: Any, ready: Any) -> tuple[list[int], NDArray[Any]]:
    if ready is None:
        return batch, made.numpy()
    ready.synchronize()
    return batch, np.array(made.numpy())  # a copy: memory that a GPU can fetch from is scarce
