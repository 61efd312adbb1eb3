"""Prefetching of batches: on a GPU a thread prepares the next batch during the computation of the current one.

A result is copied to the host during the computation of the next batch. On a CPU the batches run one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    """Each batch with the result of `run` as an array on the host, in order.

    Args:
        batches: item numbers of each batch.
        stage: a batch -> arguments of `run`, with their copy to the device started.
        run: arguments -> a tensor on the device; on a GPU it must not wait for the device.
        computing: context manager for both calls.
        device: torch device.
    """
    on_gpu = device.type == "cuda"
    pending: tuple[list[int], Any, Any] | None = None
    for batch, arguments in _staged(batches, stage, computing, ahead=on_gpu):
        with computing():
            result = run(*arguments)
            result, ready = _to_host(result) if on_gpu else (result, None)
        if pending is not None:
            yield _whole(*pending)
        pending = (batch, result, ready)
    if pending is not None:
        yield _whole(*pending)


def _staged(
    batches: list[list[int]],
    stage: Callable[[list[int]], tuple[Any, ...]],
    computing: Callable[[], AbstractContextManager[Any]],
    *,
    ahead: bool,
) -> Iterator[tuple[list[int], tuple[Any, ...]]]:
    """Each batch with the arguments of `run`; with `ahead`, a thread stages the next batch meanwhile."""

    def staged(batch: list[int]) -> tuple[Any, ...]:
        with computing():  # modes of torch belong to a thread
            return stage(batch)

    if not ahead:
        yield from ((batch, staged(batch)) for batch in batches)
        return
    with ThreadPoolExecutor(1, "stage") as pool:
        following: Future[tuple[Any, ...]] | None = None
        for number, batch in enumerate(batches):
            arguments = staged(batch) if following is None else following.result()
            following = pool.submit(staged, batches[number + 1]) if number + 1 < len(batches) else None
            yield batch, arguments


def zeros(device: Any, *shape: int) -> Any:
    """A tensor of float32 zeros on the host; in pinned memory if the device is a GPU."""
    import torch

    return torch.zeros(shape, pin_memory=device.type == "cuda")


def to_device(array: NDArray[Any], device: Any) -> Any:
    """The array as a tensor on the device; the copy may still run."""
    import torch

    return torch.from_numpy(array).to(device, non_blocking=True)


def _to_host(result: Any) -> tuple[Any, Any]:
    """The tensor on the host, and the event at the end of its copy."""
    import torch

    host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
    host.copy_(result, non_blocking=True)
    ready = torch.cuda.Event()
    ready.record()
    return host, ready


def _whole(batch: list[int], result: Any, ready: Any) -> tuple[list[int], NDArray[Any]]:
    if ready is None:
        return batch, result.numpy()
    ready.synchronize()
    return batch, np.array(result.numpy())  # a copy, because pinned memory is scarce
