"""The seams of the pipeline: what an aligner, an extractor and an embedder must offer.

A backend is made from plain parameters (cheap, no heavy import), says who it is by `identity()`, which goes into every
fingerprint, and gets its model in `load()`: once in each worker process if it is `thread_safe`, else once in each
thread. What it gives for one item never depends on the item's neighbours in a batch. Heavy imports live in `load()`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid

Timing = Literal["aligned", "interpolated", "given"]
Audio = NDArray[np.float32]  # (n_samples,) mono, in [-1, 1]


@dataclass(frozen=True, slots=True)
class Word:
    """A written word with its time in seconds from the start of the utterance."""

    text: str
    start: float
    end: float
    score: float | None
    timing: Timing


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said, word by word; `text` is what was aligned (given or recognised).

    `language` is a code ("en") where the aligner heard which it is, with its probability.
    """

    text: str
    words: list[Word]
    language: str | None = None
    language_probability: float | None = None


class Backend(Protocol):
    """What all backends share.

    Attributes:
        sample_rate: of the audio, in Hz.
        thread_safe: several threads may use one loaded backend at the same time. A backend without this attribute
            counts as not safe: each thread loads its own and no other thread uses it, which costs memory for each
            worker thread. A large model should be safe, with locks where its library needs them.
    """

    sample_rate: int
    thread_safe: bool = False

    def identity(self) -> dict[str, Any]:
        """Name, version, model revision and every parameter that can change a result."""
        ...

    def load(self) -> None:
        """Import what is heavy and read the model; called once, before any other work."""
        ...


class Aligner(Backend, Protocol):
    """Audio and perhaps its transcript -> timed words."""

    def align(self, audio: Audio, text: str | None) -> Transcript:
        """Every word of `text` gets a time; without text the audio is recognised.

        Raises:
            BadInput: the text cannot be aligned with this audio.
        """
        ...


class Extractor(Backend, Protocol):
    """Audio -> one vector a frame."""

    grid: FrameGrid
    dim: int

    def extract(self, batch: list[Audio]) -> list[NDArray[np.float32]]:
        """(frames, dim) for each item, frames == grid.num_frames(len(item))."""
        ...


class Embedder(Backend, Protocol):
    """Text, and where `hears_audio` audio, -> unit vectors in one space."""

    dim: int
    hears_audio: bool

    def embed_text(self, texts: list[str]) -> NDArray[np.float32]:
        """(len(texts), dim), unit length; all zero where a text has no known word."""
        ...


class ImageCodec(Protocol):
    """Pictures -> codes; `identity` and `load` as in `Backend`.

    `length`: codes of a picture; `vocab`: how many codes there are, at most 65,536.
    """

    length: int
    vocab: int

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(height, width, 3) RGB -> what the model sees; may run in another thread."""
        ...

    def encode(self, batch: list[NDArray[np.float32]]) -> list[NDArray[np.uint16]]:
        """(length,) codes of each prepared picture, the same in any company."""
        ...


class HearingEmbedder(Embedder, Protocol):
    """An embedder with `hears_audio` True; `batch` is how many windows it likes to be given at once."""

    batch: int

    def spans(self, n_samples: int) -> list[tuple[int, int]]:
        """[start, stop) in samples of the windows of a sound; together they cover it."""
        ...

    def embed_audio(self, batch: list[Audio]) -> list[NDArray[np.float32]]:
        """(windows, dim) of unit length for each sound."""
        ...
