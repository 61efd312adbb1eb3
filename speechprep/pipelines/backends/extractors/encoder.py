"""What the extractors over a transformer encoder share: options, device, precision, windows, batches.

Options that decide the frames go into `identity()`; those that decide only how they are computed (device, batches,
threads, compilation) do not: they move a value by float noise and nothing else.

Where frames must be the plain model's to the bit, the modules of transformers run (fp32 on a CPU, one length at a
time). Everywhere else, and for padded batches, their weights run through fewer and larger products (gemm_front.py,
fused_layers.py), as far as the model is of a shape that these know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.extractors.ahead import run_batches
from speechprep.pipelines.backends.extractors.checkpoint import find_model
from speechprep.pipelines.backends.extractors.device_units import DeviceCentroids
from speechprep.pipelines.backends.extractors.windows import Window, Windows, groups
from speechprep.pipelines.backends.model_files import weights_sha256
from speechprep.tokenizers.quantizer import Centroids

Dtype = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
GPU_BATCH_SECONDS = 160.0  # of padded audio at once where the device is a GPU

F32 = NDArray[np.float32]
Units = NDArray[np.unsignedinteger]


class Shared(TypedDict, total=False):
    """Options of every extractor over an encoder; see `EncoderExtractor`."""

    revision: str | None
    dtype: Dtype
    device: str
    batch_seconds: float | None
    threads: int
    compile: bool


class EncoderExtractor:
    """Base of `hubert` and `whisper`; a subclass says how its model is read and run.

    Args:
        model: local folder, or name on the Hugging Face hub.
        layer: whose output the frames are; 0 is the input of the first.
        revision: of a name on the hub.
        dtype: "fp32", or "bf16"/"fp16" for the matrix products (sums and norms stay in fp32). fp16 needs a GPU.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1".
        batch_seconds: padded audio that runs at once; None: one utterance at a time on a CPU, where batches gain
            nothing, and GPU_BATCH_SECONDS on a GPU. At 0 an utterance has the same bits whatever its neighbours; in a
            batch the same values to float noise.
        threads: of one forward pass on a CPU; use more workers rather than more threads.
        compile: run through `torch.compile` (half a minute at the start).
    """

    name = ""
    version = 2  # raise when the same audio would give other values
    sample_rate = 16_000
    thread_safe = True  # a forward pass changes nothing of the module

    def __init__(
        self,
        model: str,
        layer: int,
        *,
        revision: str | None = None,
        dtype: Dtype = "fp32",
        device: str = "auto",
        batch_seconds: float | None = None,
        threads: int = 1,
        compile: bool = False,  # noqa: A002 - the word for it
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
        return find_model(self.model, self.revision)

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
            "revision": weights_sha256(self.folder),
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
        self._module = self._read().to(self._on)
        self._exact = self.dtype == "fp32" and self._on.type == "cpu"
        self._fused: Any = self._fuse() if self._fusible() and not self._exact else None  # of the weights in fp32
        if self.dtype != "fp32":
            # Rounded once here instead of at every call; what autocast would make of them is the same.
            for part in self._module.modules():
                if isinstance(part, torch.nn.Linear | torch.nn.Conv1d):
                    part.to(self._dtype)
        self._run = torch.compile(self._forward, dynamic=True) if self.compile else self._forward

    def _read(self) -> Any:
        """The module to run, in fp32 on the CPU."""
        raise NotImplementedError

    def _fusible(self) -> bool:
        """Whether the model is of a shape that `_fuse` knows."""
        raise NotImplementedError

    def _alike(self) -> bool:
        """Whether only chunks of one length can share a batch without changing each other."""
        return not self._fusible()

    def _span(self, samples: int) -> int:
        """Samples that the model runs for a chunk of so many."""
        return samples

    def _fuse(self) -> Any:
        """What `_forward` needs of the module, which is in fp32 on the device, to run it in `_dtype`."""
        raise NotImplementedError

    def _stage(self, chunks: list[F32]) -> tuple[Any, ...]:
        """Chunks of audio, at most one window each -> the arguments of `_forward`, on the way to the device."""
        raise NotImplementedError

    def _forward(self, *given: Any) -> Any:
        """What `_stage` gives -> (batch, frames, dim), of which only the first frames of each item mean anything."""
        raise NotImplementedError

    def extract(self, batch: list[F32]) -> list[F32]:
        """(frames, dim) float32 for each item (samples,) float32 in [-1, 1].

        Raises:
            BadInput: `audio_too_short` for an item of less than one frame.
        """
        return self._each(batch, as_fp32)

    def extract_stream(self, blocks: Iterable[F32]) -> Iterator[F32]:
        """The frames of one utterance whose audio comes in pieces of any length, (some frames, dim) at a time.

        Raises:
            BadInput: `audio_too_short` for less than one frame in all.
        """
        return self._stream(blocks, as_fp32)

    def units(self, batch: list[F32], centroids: Centroids) -> list[Units]:
        """Like `extract`, but the nearest centroid of each frame; on a GPU no frame comes to the host."""
        return self._each(batch, self._nearest(centroids), centroids)

    def units_stream(self, blocks: Iterable[F32], centroids: Centroids) -> Iterator[Units]:
        """Like `extract_stream`, but the nearest centroid of each frame."""
        return self._stream(blocks, self._nearest(centroids), centroids)

    @property
    def window_seconds(self) -> float:
        """Of audio that `extract` likes to be given at once; 0 where it runs one utterance after the other."""
        return 4.0 * self._budget() / self.sample_rate  # so that there are neighbours of about the same length

    def _nearest(self, centroids: Centroids) -> Callable[[Any], Any]:
        return as_fp32 if self._on.type == "cpu" else DeviceCentroids(centroids, self._on)

    def _each(self, batch: list[F32], finish: Callable[[Any], Any], centroids: Centroids | None = None) -> list[Any]:
        cut: list[tuple[int, Window]] = [(i, w) for i, audio in enumerate(batch) for w in self.windows.cut([audio])]
        parts: list[list[Any]] = [[] for _ in batch]
        for (i, _), made in zip(cut, self._made([w for _, w in cut], finish), strict=True):
            parts[i].append(self._assigned(made, centroids))
        return [np.concatenate(own) if len(own) > 1 else own[0] for own in parts]

    def _stream(
        self, blocks: Iterable[F32], finish: Callable[[Any], Any], centroids: Centroids | None = None
    ) -> Iterator[Any]:
        held: list[Window] = []
        for window in self.windows.cut(blocks):
            held.append(window)
            if (len(held) + 1) * len(window.samples) > self._budget():
                yield from (self._assigned(made, centroids) for made in self._made(held, finish))
                held = []
        yield from (self._assigned(made, centroids) for made in self._made(held, finish))

    def _assigned(self, made: Any, centroids: Centroids | None) -> Any:
        if centroids is None:
            return made
        return made.astype(centroids.dtype) if made.ndim == 1 else centroids.assign(made)

    def _made(self, windows: list[Window], finish: Callable[[Any], Any]) -> list[Any]:
        """What `finish` gives of each window's frames, on the host, without what a neighbouring window gives."""
        batches = groups([self._span(len(w.samples)) for w in windows], self._budget(), equal=self._alike())
        found: dict[int, Any] = {}

        def stage(batch: list[int]) -> tuple[Any, ...]:
            return self._stage([windows[number].samples for number in batch])

        def run(*staged: Any) -> Any:
            return finish(self._run(*staged))

        for batch, made in run_batches(batches, stage, run, self._computing, self._on):
            for number, row in zip(batch, made, strict=True):
                window = windows[number]
                found[number] = row[window.skip : window.skip + window.take]
        return [found[number] for number in range(len(windows))]

    def _budget(self) -> int:
        seconds = self.batch_seconds
        if seconds is None:
            seconds = 0.0 if self._on.type == "cpu" else GPU_BATCH_SECONDS
        return int(seconds * self.sample_rate)

    def _computing(self) -> AbstractContextManager[Any]:
        """Inference in the precision asked for: fp32 is fp32, not TF32."""
        import torch

        stack = ExitStack()
        stack.enter_context(torch.inference_mode())
        if self._on.type == "cpu" and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if self._on.type == "cuda" and self.dtype == "fp32":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        if self.dtype != "fp32" and self._fused is None:
            stack.enter_context(torch.autocast(self._on.type, dtype=self._dtype))
        return stack


def fast_dtypes(device: str = "auto") -> list[str]:
    """The precisions that a device has instructions for, fp32 first; "auto" is the one that `load` would choose."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return list(DTYPES)
    bf16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return ["fp32", "bf16"] if bf16 else ["fp32"]


def last_of(output: Any) -> Any:
    """The hidden states that a layer of transformers gives: alone since version 5, first of a tuple before."""
    return output[0] if isinstance(output, tuple) else output


def as_fp32(frames: Any) -> Any:
    """What `extract` makes of the model's frames on the device."""
    return frames.float()
