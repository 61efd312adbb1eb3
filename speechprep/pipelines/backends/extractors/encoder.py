"""What the extractors over a transformer encoder share: options, device, precision, windows, batches.

Options that decide the frames go into `identity()`; those that decide only how they are computed (device, batches,
threads, compilation) do not: they move a value by float noise and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.extractors.checkpoint import find_model, weights_sha256
from speechprep.pipelines.backends.extractors.windows import Window, Windows, groups

Dtype = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
GPU_BATCH_SECONDS = 160.0  # of padded audio at once where the device is a GPU

F32 = NDArray[np.float32]


class EncoderExtractor:
    """Base of `hubert` and `whisper`; a subclass says how its model is read and run.

    Args:
        model: local folder, or name on the Hugging Face hub.
        layer: whose output the frames are; 0 is the input of the first.
        revision: of a name on the hub.
        dtype: "fp32", or "bf16"/"fp16" for the matrix products (norms stay in fp32). fp16 needs a GPU.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1".
        batch_seconds: padded audio that `extract` runs at once; None: one utterance at a time on a CPU, where batches
            gain nothing, and GPU_BATCH_SECONDS on a GPU. At 0 an utterance has the same bits whatever its neighbours;
            in a batch the same values to float noise.
        threads: of one forward pass on a CPU; use more workers rather than more threads.
        compile: run through `torch.compile` (half a minute at the start).
    """

    name = ""
    version = 1  # raise when the same audio would give other values
    sample_rate = 16_000

    def __init__(
        self,
        model: str,
        layer: int,
        *,
        revision: str | None,
        dtype: Dtype,
        device: str,
        batch_seconds: float | None,
        threads: int,
        compile: bool,  # noqa: A002 - the word for it
    ) -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"{self.name}: dtype = {dtype!r}; choose {', '.join(DTYPES)}")
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise ConfigError(f"{self.name}: layer = {layer!r}; it is a whole number")
        if threads < 1 or (batch_seconds is not None and batch_seconds < 0):
            raise ConfigError(f"{self.name}: threads = {threads}, batch_seconds = {batch_seconds}: too small")
        self.model, self.layer, self.revision, self.dtype = str(model), layer, revision, dtype
        self.device, self.batch_seconds, self.threads, self.compile = device, batch_seconds, threads, compile

    @property
    def what(self) -> str:
        """Who speaks in a message."""
        return f"extractor {self.name!r}"

    @cached_property
    def folder(self) -> Path:
        """Where the model lies on this machine."""
        return find_model(self.what, self.model, self.revision)

    @property
    def grid(self) -> FrameGrid:
        """The frames of the model."""
        raise NotImplementedError

    @property
    def windows(self) -> Windows:
        """How long audio is cut."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Name, version, the model's weights and every parameter that decides a frame; needs no torch."""
        return {
            "name": self.name,
            "version": self.version,
            **self._identity(),
            "revision": weights_sha256(self.what, self.folder),
            "layer": self.layer,
            "dtype": self.dtype,
            "sample_rate": self.sample_rate,
            "stride": self.grid.stride,
            "long_window": self.windows.frames,
            "long_overlap": self.windows.overlap,
        }

    def _identity(self) -> dict[str, Any]:
        raise NotImplementedError

    def load(self) -> None:
        """Read as many layers as are needed onto the device.

        Raises:
            MissingBackend: torch or transformers is not installed, or there is no such device.
            ConfigError: the folder lacks a file, or it is damaged; no such layer; fp16 without a GPU.
        """
        self.identity()  # what is wrong with the folder or the options shows before torch is imported
        try:
            import torch
            import transformers  # noqa: F401
        except ImportError:
            raise MissingBackend.package(self.what, "transformers", "hf") from None
        name = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self._on = torch.device(name)
        if self._on.type == "cuda" and not torch.cuda.is_available():
            raise MissingBackend(f"{self.what}: device = {self.device!r}, but torch sees no GPU; choose 'cpu'")
        if self._on.type == "cpu" and self.dtype == "fp16":
            raise ConfigError(f"{self.what}: fp16 needs a GPU; on a CPU choose 'bf16' or 'fp32'")
        if self.dtype not in fast_dtypes(self._on.type):
            logging.getLogger(__name__).warning(
                "%s: this CPU has no instructions for %s, which makes it far slower than fp32", self.what, self.dtype
            )
        self._dtype = getattr(torch, DTYPES[self.dtype])
        module = self._read()
        if self.dtype != "fp32":
            # Rounded once here instead of at every call; what autocast would make of them is the same.
            for part in module.modules():
                if isinstance(part, torch.nn.Linear | torch.nn.Conv1d):
                    part.to(self._dtype)
        self._module = module.to(self._on)
        self._run = torch.compile(self._forward, dynamic=True) if self.compile else self._forward

    def _read(self) -> Any:
        """The module to run, in fp32 on the CPU."""
        raise NotImplementedError

    def _forward(self, *given: Any) -> Any:
        """Inputs of `_encode` -> (batch, frames, dim)."""
        raise NotImplementedError

    def _encode(self, chunks: list[F32]) -> list[F32]:
        """All frames (frames, dim) float32 that the model makes of each chunk of audio; at most one window each."""
        raise NotImplementedError

    def _padded_together(self) -> bool:
        """Whether chunks of unlike length can share a batch without changing each other."""
        return True

    def extract(self, batch: list[F32]) -> list[F32]:
        """(frames, dim) float32 for each item (samples,) float32 in [-1, 1].

        Raises:
            BadInput: `audio_too_short` for an item of less than one frame.
        """
        cut: list[tuple[int, Window]] = [(i, w) for i, audio in enumerate(batch) for w in self.windows.cut([audio])]
        made: dict[int, F32] = {}
        lengths = [len(window.samples) for _, window in cut]
        for group in groups(lengths, self._budget(), equal=not self._padded_together()):
            for number, frames in zip(group, self._encode([cut[g][1].samples for g in group]), strict=True):
                made[number] = _kept(cut[number][1], frames)
        parts: list[list[F32]] = [[] for _ in batch]
        for number, (i, _) in enumerate(cut):
            parts[i].append(made[number])
        return [np.concatenate(own) if len(own) > 1 else own[0] for own in parts]

    def extract_stream(self, blocks: Iterable[F32]) -> Iterator[F32]:
        """The frames of one utterance whose audio comes in pieces of any length, (some frames, dim) at a time.

        Raises:
            BadInput: `audio_too_short` for less than one frame in all.
        """
        for window in self.windows.cut(blocks):
            yield _kept(window, self._encode([window.samples])[0])

    def _budget(self) -> int:
        seconds = self.batch_seconds
        if seconds is None:
            seconds = 0.0 if self._on.type == "cpu" else GPU_BATCH_SECONDS
        return int(seconds * self.sample_rate)

    def _pin_threads(self) -> None:
        import torch

        if self._on.type == "cpu" and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)

    def _computing(self) -> AbstractContextManager[Any]:
        """Inference in the precision asked for: fp32 is fp32, not TF32."""
        import torch

        stack = ExitStack()
        stack.enter_context(torch.inference_mode())
        self._pin_threads()
        if self._on.type == "cuda" and self.dtype == "fp32":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        if self.dtype != "fp32":
            stack.enter_context(torch.autocast(self._on.type, dtype=self._dtype))
        return stack


def fast_dtypes(device: str = "auto") -> list[str]:
    """The precisions that a device has instructions for, fp32 first; "auto" is the one that `load` would choose."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return list(DTYPES)
    bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return ["fp32", "bf16"] if bf16 else ["fp32"]


def _kept(window: Window, frames: F32) -> F32:
    return frames[window.skip : window.skip + window.take]
