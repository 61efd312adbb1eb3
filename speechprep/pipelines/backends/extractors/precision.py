"""Precision of an encoder: the names of the dtypes, and those with processor instructions on a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any, Literal

Dtype = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def fast_dtypes(device: str = "auto") -> list[str]:
    """The precisions with instructions on a device, fp32 first; "auto" is the device chosen by `load`."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return list(DTYPES)
    bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return ["fp32", "bf16"] if bf16 else ["fp32"]


def as_fp32(frames: Any) -> Any:
    """Frames on the device in fp32: the `finish` of `extract`."""
    return frames.float()


def computing(device: Any, dtype: Any, threads: int, *, autocast: bool) -> AbstractContextManager[Any]:
    """Inference in a precision; fp32 excludes TF32.

    Args:
        device, dtype: of torch.
        threads: of one forward pass on a CPU.
        autocast: let torch choose the precision of each operation, for modules with weights in fp32.
    """
    import torch

    stack = ExitStack()
    stack.enter_context(torch.inference_mode())
    if device.type == "cpu" and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if device.type == "cuda" and dtype == torch.float32:
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
    if dtype != torch.float32 and autocast:
        stack.enter_context(torch.autocast(device.type, dtype=dtype))
    return stack
