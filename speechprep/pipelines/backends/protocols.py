"""Base classes of the backend families: required methods are abstract, all others have a default.

Recognisers and aligners have theirs in `recognition`.

A subclass implements the abstract methods and sets the attributes named in `attributes`. It overrides a method with a
default only to be faster, to use less memory, or to return more. A class without these bases works too:
`registry.make` adds the defaults (see `completion`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.backends.base import Audio, Backend, joined
from speechprep.tokenizers.kmeans.nearest import Centroids

F32 = NDArray[np.float32]
Units = NDArray[np.unsignedinteger]


class Extractor(Backend):
    """Audio -> one vector for each frame.

    Attributes:
        sample_rate: of the audio, in Hz.
        grid: frame geometry; works before `load`.
        dim: values of a frame; works before `load`.
        window_seconds: preferred seconds of audio in one call of `extract`, `units` and `extract_padded_batch`;
            0, the default: one utterance at a time.
        dtypes: values of the option `dtype`, fp32 first. Default: fp32 only, and no such option.
        window_frames: frames in the fixed window of a model with frames that depend on their number in the window;
            0, the default: no such window.
        batch_seconds: padded seconds of audio in one forward pass; may be set at any time. None, the default: the
            extractor chooses.
    """

    role: ClassVar[str] = "extractor"
    attributes: ClassVar[tuple[str, ...]] = ("sample_rate", "grid", "dim")
    sample_rate: int
    window_seconds: float = 0.0
    dtypes: ClassVar[tuple[str, ...]] = ("fp32",)
    batch_seconds: float | None = None

    if TYPE_CHECKING:  # read-only here, so that a subclass may use an attribute, a property or a cached property

        @property
        def grid(self) -> FrameGrid: ...  # noqa: D102

        @property
        def dim(self) -> int: ...  # noqa: D102

        @property
        def window_frames(self) -> int: ...  # noqa: D102

    else:
        window_frames = 0

    def earlier_identities(self) -> list[dict[str, Any]]:
        """Values of `identity()` in earlier versions with the same frames; a codebook with one of them is accepted.

        Default: none.
        """
        return []

    def fast_dtypes(self) -> list[str]:
        """The values of `dtype` with processor instructions on this machine, fp32 first. Default: fp32 only."""
        return ["fp32"]

    @abstractmethod
    def extract(self, batch: list[Audio]) -> list[F32]:
        """(frames, dim) for each item, with frames == grid.num_frames(len(item)).

        Raises:
            BadInput: `audio_too_short` for an item of less than one frame.
        """

    def extract_stream(self, blocks: Iterable[Audio]) -> Iterator[F32]:
        """The frames of one utterance in blocks of audio, (some frames, dim) at a time.

        Default: join the blocks and call `extract`, so memory grows with the length.
        """
        yield from self.extract([joined(blocks)])

    def extract_padded(self, blocks: Iterable[Audio]) -> Iterator[tuple[F32, int]]:
        """Like `extract_stream`, with the frames of the padding: (frames, number of valid frames at their start).

        Default: no padding, so all frames are valid.
        """
        for frames in self.extract_stream(blocks):
            yield frames, len(frames)

    def extract_padded_batch(self, batch: list[Audio]) -> list[list[tuple[F32, int]]]:
        """`extract_padded` for each item, computed together. Override it together with `extract_padded`.

        Default: `extract`, with all frames valid.
        """
        return [[(frames, len(frames))] for frames in self.extract(batch)]

    def window_positions(self, n_frames: int) -> NDArray[np.int64]:
        """(n_frames,) number of each frame of an utterance in its window; used only if `window_frames` is above 0.

        Default: windows without overlap, from the start of the utterance.
        """
        return np.arange(n_frames) % max(self.window_frames, 1)

    def units(self, batch: list[Audio], centroids: Centroids) -> list[Units]:
        """The nearest centroid of each frame, for each item. Default: `extract`, then `Centroids.assign`."""
        return [centroids.assign(frames, self._positions(len(frames))) for frames in self.extract(batch)]

    def units_stream(self, blocks: Iterable[Audio], centroids: Centroids) -> Iterator[Units]:
        """The units of one utterance in blocks of audio. Default: `extract_stream`, then `Centroids.assign`.

        If the frames are centred, all frames of the utterance are joined first.
        """
        if centroids.transform.means is not None:
            frames = np.concatenate(list(self.extract_stream(blocks)))
            yield centroids.assign(frames, self._positions(len(frames)))
            return
        for frames in self.extract_stream(blocks):
            yield centroids.assign(frames)

    def _positions(self, n_frames: int) -> NDArray[np.int64] | None:
        return self.window_positions(n_frames) if self.window_frames else None


class Embedder(Backend):
    """Text, and audio if `hears_audio`, -> unit vectors in one space.

    Attributes:
        sample_rate: of the audio, in Hz.
        dim: values of a vector; final after `load`.
        hears_audio: True if `embed_audio` works.
        batch: preferred number of sounds in one call of `embed_audio`.
    """

    role: ClassVar[str] = "embedder"
    attributes: ClassVar[tuple[str, ...]] = ("dim",)
    sample_rate: int = 16_000
    dim: int
    hears_audio: bool = False
    batch: int = 1

    @abstractmethod
    def embed_text(self, texts: list[str]) -> F32:
        """(len(texts), dim), unit length; a row of zeros for a text without a known word."""

    def spans(self, n_samples: int) -> list[tuple[int, int]]:
        """[start, stop) in samples of the windows of a sound; together they cover it. Default: one window."""
        return [(0, n_samples)]

    def embed_audio(self, batch: list[Audio]) -> list[F32]:
        """(windows, dim) of unit length for each sound, with the windows of `spans`.

        Raises:
            BadInput: a sound without samples.
            ConfigError: the embedder takes text only, as by default.
        """
        raise ConfigError(f"{self.label} takes text only; choose an embedder of sounds, for example clap")

    def fit(self, texts: Iterable[str]) -> Embedder:
        """A loaded embedder fitted to the texts of a corpus; `self` is unchanged, as threads may share it.

        Default: `self`, and the texts are not read.
        """
        return self

    def save(self, folder: Path) -> None:
        """Write the fitted weights into a folder. Default: nothing to write."""

    def restore(self, folder: Path) -> None:
        """Read the weights written by `save`. Default: nothing to read.

        Raises:
            StaleArtifact: the weights are absent or damaged.
        """


class ImageCodec(Backend):
    """Images -> codes.

    Attributes:
        length: codes of an image; works before `load`.
        vocab: number of codes, at most 65,536; works before `load`.
    """

    role: ClassVar[str] = "image codec"
    attributes: ClassVar[tuple[str, ...]] = ("length", "vocab")

    if TYPE_CHECKING:  # read-only here, as in `Extractor`

        @property
        def length(self) -> int: ...  # noqa: D102

        @property
        def vocab(self) -> int: ...  # noqa: D102

    @abstractmethod
    def prepare(self, pixels: NDArray[np.uint8]) -> F32:
        """(height, width, 3) RGB -> input of the model; may run in another thread."""

    @abstractmethod
    def encode(self, batch: list[F32]) -> list[NDArray[np.uint16]]:
        """(length,) codes of each prepared image, independent of the other images of the batch."""


class Fit(Protocol):
    """The result of `Quantizer.fit`."""

    @property
    def centroids(self) -> F32:
        """(k, dim)."""


class Quantizer(Backend):
    """Frames -> centroids."""

    role: ClassVar[str] = "quantizer"

    @abstractmethod
    def fit(self, frames: Any, k: int, seed: int) -> Fit:
        """Cluster frames (n, dim) float32 into `k` centroids; the same input and seed give the same bytes.

        Raises:
            ConfigError: more units than frames, or frames that are not finite.
        """
