"""Base of the extractors over a transformer encoder: options, device, precision, windows, batches.

Options with an influence on the frames are part of `identity()`. Device, batches, threads and compilation are not:
they change a value by float noise only.

In fp32 on a CPU, with one length in a batch, the modules of transformers run, so frames are bit-identical to the plain
model. Otherwise the same weights run through fewer and larger matrix products (gemm_front.py, fused_layers.py), for
models with a shape supported there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends import Extractor, model_files
from speechprep.pipelines.backends.base import check_device
from speechprep.pipelines.backends.extractors.checkpoint import find_model
from speechprep.pipelines.backends.extractors.device_units import UNDECIDED, DeviceCentroids
from speechprep.pipelines.backends.extractors.encoder_windows import EncoderWindow, EncoderWindows, Shapes, groups
from speechprep.pipelines.backends.extractors.precision import DTYPES, Dtype, as_fp32, computing, fast_dtypes
from speechprep.pipelines.backends.extractors.prefetch import run_batches
from speechprep.tokenizers.kmeans.nearest import Centroids

GPU_BATCH_SECONDS = 160.0  # of padded audio at once where the device is a GPU

F32 = NDArray[np.float32]
Units = NDArray[np.unsignedinteger]


class Shared(TypedDict, total=False):
    """Options shared by all encoder extractors; see `EncoderExtractor`."""

    revision: str | None
    dtype: Dtype
    device: str
    batch_seconds: float | None
    threads: int
    compile: bool


class EncoderExtractor(Extractor):
    """Base of `hubert` and `whisper`; a subclass reads and runs its model.

    Args:
        model: local folder, or name on the Hugging Face hub.
        layer: number of the layer with the frames as its output; 0 is the input of the first layer.
        revision: commit, tag or branch on the hub.
        dtype: "fp32", or "bf16"/"fp16" for the matrix products (sums and norms stay in fp32). fp16 needs a GPU.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1".
        batch_seconds: padded seconds of audio in one batch. None: GPU_BATCH_SECONDS on a GPU, and one utterance at a
            time on a CPU, because batches give no speedup there. At 0 the bits of an utterance do not depend on its
            neighbours; in a batch its values agree up to float noise.
        threads: threads of one forward pass on a CPU; more workers are more efficient than more threads.
        compile: run through `torch.compile`, in batches of at most eight shapes (a minute or more at the start).
    """

    packages: ClassVar[Mapping[str, str]] = {"torch": "hf", "transformers": "hf"}
    dtypes = tuple(DTYPES)
    version = 2  # raise it if the same audio gives other values
    sample_rate = 16_000
    thread_safe = True  # a forward pass does not change the module

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
        compile: bool = False,  # noqa: A002 - the name in torch
    ) -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"{self.name}: dtype = {dtype!r}; choose {', '.join(DTYPES)}")
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise ConfigError(f"{self.name}: layer = {layer!r}; it is a whole number")
        if threads < 1 or (batch_seconds is not None and batch_seconds < 0):
            raise ConfigError(f"{self.name}: threads = {threads}, batch_seconds = {batch_seconds}: too small")
        self.model, self.layer, self.revision, self.dtype = str(model), layer, revision, dtype
        self.device, self.batch_seconds, self.threads, self.compile = device, batch_seconds, threads, compile

    @cached_property
    def folder(self) -> Path:
        """Local folder of the model."""
        return find_model(self.model, self.revision)

    @property
    def windows(self) -> EncoderWindows:
        """Windows of long audio."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Name, version, sha256 of the weights and every parameter with an influence on the frames; needs no torch."""
        return {
            "name": self.name,
            "version": self.version,
            **self._identity(),
            **self._weights(),
            "layer": self.layer,
            "dtype": self.dtype,
            "sample_rate": self.sample_rate,
            "stride": self.grid.stride,
            "long_window": self.windows.frames,
            "long_overlap": self.windows.overlap,
        }

    def _identity(self) -> dict[str, Any]:
        raise NotImplementedError

    def _weights(self) -> dict[str, Any]:
        """Identity of the weights: sha256 of their files."""
        return {"revision": model_files.weights_sha256(self.folder)}

    def _check_folder(self) -> None:
        """Check the files of the model, without torch and without a download."""
        if model_files.checked_folder(self.model, model_files.WEIGHTS, self.revision) is not None:
            model_files.weight_files(self.folder)
            self._identity()
            self.windows  # noqa: B018 - raises if the overlap does not fit

    def load(self) -> None:
        """Read the needed layers onto the device.

        Raises:
            MissingBackend: torch, transformers or the device is absent, or a file of the model is missing or damaged.
            ConfigError: no such layer; fp16 without a GPU.
        """
        self.identity()  # reports errors of folder and options before the import of torch
        try:
            import torch
            import transformers  # noqa: F401
        except ImportError:
            raise MissingBackend.package(self.label, "transformers", "hf") from None
        name = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self._on = torch.device(name)
        if self._on.type == "cuda" and not torch.cuda.is_available():
            raise MissingBackend(f"{self.label}: device = {self.device!r}, but torch sees no GPU; choose 'cpu'")
        if self._on.type == "cpu" and self.dtype == "fp16":
            raise ConfigError(f"{self.label}: fp16 needs a GPU; on a CPU choose 'bf16' or 'fp32'")
        if self.dtype not in fast_dtypes(self._on.type):
            logging.getLogger(__name__).warning(
                "%s: this CPU has no instructions for %s, which makes it far slower than fp32", self.label, self.dtype
            )
        self._dtype = getattr(torch, DTYPES[self.dtype])
        self._module = self._read().to(self._on)
        self._exact = self.dtype == "fp32" and self._on.type == "cpu"
        self._fused: Any = self._fuse() if self._fusible() and not self._exact else None  # from weights in fp32
        if self.dtype != "fp32":
            # Rounded once here instead of at every call; autocast gives the same values.
            for part in self._module.modules():
                if isinstance(part, torch.nn.Linear | torch.nn.Conv1d):
                    part.to(self._dtype)
        # Four batches at once, so that there are neighbours of about the same length.
        self.window_seconds = 4.0 * self._budget() / self.sample_rate
        self._run = torch.compile(self._forward, dynamic=self._alike()) if self.compile else self._forward

    def check(self) -> None:
        """Check packages, option values and the model folder, without torch and without a download.

        Raises:
            MissingBackend: a package or a file of the model is absent.
            ConfigError: a model of another kind, an unknown layer or device name, or fp16 on a CPU.
        """
        super().check()
        check_device(self.label, self.device)
        if self.device == "cpu" and self.dtype == "fp16":
            raise ConfigError(f"{self.label}: fp16 needs a GPU; on a CPU choose 'bf16' or 'fp32'")
        self._check_folder()

    def fast_dtypes(self) -> list[str]:
        """The values of `dtype` with processor instructions on the device, fp32 first; imports torch."""
        return fast_dtypes(self.device)

    def _read(self) -> Any:
        """The module to run, in fp32 on the CPU."""
        raise NotImplementedError

    def _fusible(self) -> bool:
        """True if `_fuse` supports the shape of the model."""
        raise NotImplementedError

    def _alike(self) -> bool:
        """True if a batch must contain chunks of one length only, because padding would change the frames."""
        return not self._fusible()

    def _span(self, samples: int) -> int:
        """Samples in the forward pass for a chunk of `samples` samples."""
        return samples

    def _fuse(self) -> Any:
        """The fused weights in `_dtype` for `_forward`, from the module in fp32 on the device."""
        raise NotImplementedError

    def _stage(self, chunks: list[F32], samples: int | None = None) -> tuple[Any, ...]:
        """Chunks of audio, at most one window each -> arguments of `_forward`, on the way to the device.

        `samples`: padded length of the batch; None: of its longest chunk.
        """
        raise NotImplementedError

    def _forward(self, *staged: Any) -> Any:
        """Result of `_stage` -> (batch, frames or more, dim); rows after the frames of an item are undefined."""
        raise NotImplementedError

    def extract(self, batch: list[F32]) -> list[F32]:
        """(frames, dim) float32 for each item (samples,) float32 in [-1, 1].

        Raises:
            BadInput: `audio_too_short` for an item of less than one frame.
        """
        return self._each(batch, as_fp32)

    def extract_stream(self, blocks: Iterable[F32]) -> Iterator[F32]:
        """The frames of one utterance, from audio in pieces of any length, in blocks (some frames, dim).

        Raises:
            BadInput: `audio_too_short` for less than one frame in all.
        """
        return self._stream(blocks, as_fp32)

    def units(self, batch: list[F32], centroids: Centroids) -> list[Units]:
        """Like `extract`, but the nearest centroid of each frame; on a GPU no frame is copied to the host."""
        return self._each(batch, self._nearest(centroids), centroids)

    def units_stream(self, blocks: Iterable[F32], centroids: Centroids) -> Iterator[Units]:
        """Like `extract_stream`, but the nearest centroid of each frame."""
        return self._stream(blocks, self._nearest(centroids), centroids)

    def _nearest(self, centroids: Centroids) -> Callable[[Any], Any]:
        return as_fp32 if self._on.type == "cpu" else DeviceCentroids(centroids, self._on)

    def _each(self, batch: list[F32], finish: Callable[[Any], Any], centroids: Centroids | None = None) -> list[Any]:
        cut: list[tuple[int, EncoderWindow]] = [
            (i, w) for i, audio in enumerate(batch) for w in self.windows.cut([audio])
        ]
        parts: list[list[Any]] = [[] for _ in batch]
        for (i, window), result in zip(cut, self._results([w for _, w in cut], finish), strict=True):
            parts[i].append(self._assigned(window, result, centroids))
        return [np.concatenate(blocks) if len(blocks) > 1 else blocks[0] for blocks in parts]

    def _stream(
        self, blocks: Iterable[F32], finish: Callable[[Any], Any], centroids: Centroids | None = None
    ) -> Iterator[Any]:
        batch: list[EncoderWindow] = []
        for window in self.windows.cut(blocks):
            batch.append(window)
            if (len(batch) + 1) * len(window.samples) > self._budget():
                yield from self._assigned_all(batch, finish, centroids)
                batch = []
        yield from self._assigned_all(batch, finish, centroids)

    def _assigned_all(
        self, batch: list[EncoderWindow], finish: Callable[[Any], Any], centroids: Centroids | None
    ) -> Iterator[Any]:
        for window, result in zip(batch, self._results(batch, finish), strict=True):
            yield self._assigned(window, result, centroids)

    def _assigned(self, window: EncoderWindow, result: Any, centroids: Centroids | None) -> Any:
        """Frames as they are, or as units; units computed on the device get the dtype of the codebook."""
        if centroids is None:
            return result
        if result.ndim == 1:
            return result.astype(centroids.dtype)
        positions = np.arange(window.skip, window.skip + len(result)) if self.window_frames else None
        return centroids.assign(result, positions)

    def _results(self, windows: list[EncoderWindow], finish: Callable[[Any], Any]) -> list[Any]:
        """Result of `finish` for the frames of each window, on the host, without the frames of overlapping windows."""
        spans = [self._span(len(w.samples)) for w in windows]
        shapes = self._shapes() if self.compile and not self._alike() else None
        batches = shapes.groups(spans) if shapes else groups(spans, self._budget(), equal=self._alike())
        results: dict[int, Any] = {}

        def stage(batch: list[int]) -> tuple[Any, ...]:
            chunks = [windows[number].samples for number in batch]
            if shapes is None:
                return self._stage(chunks)
            rows, samples = shapes.of(spans[batch[0]])
            return self._stage([*chunks, *chunks[:1] * (rows - len(chunks))], samples)

        def run(*staged: Any) -> Any:
            return finish(self._run(*staged))

        def taken(batch: list[int], rows: Any) -> list[tuple[int, Any]]:
            used = ((number, windows[number]) for number in batch)
            return [(i, row[w.skip : w.skip + w.take]) for (i, w), row in zip(used, rows, strict=False)]

        for batch, rows in run_batches(batches, stage, run, self._computing, self._on):
            parts = taken(batch, rows)
            if isinstance(finish, DeviceCentroids) and any((part == UNDECIDED).any() for _, part in parts):
                with self._computing():
                    parts = taken(batch, finish.decided(self._run(*stage(batch))).cpu().numpy())
            results.update(parts)
        return [results[number] for number in range(len(windows))]

    def _shapes(self) -> Shapes:
        windows = self.windows
        return Shapes(self._span((windows.frames - 1) * windows.grid.stride + windows.grid.window), self._budget())

    def _budget(self) -> int:
        seconds = self.batch_seconds
        if seconds is None:
            seconds = 0.0 if self._on.type == "cpu" else GPU_BATCH_SECONDS
        return int(seconds * self.sample_rate)

    def _computing(self) -> AbstractContextManager[Any]:
        return computing(self._on, self._dtype, self.threads, autocast=self._fused is None)
