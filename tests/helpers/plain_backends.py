"""Backends as another package may write them: only the required methods, and no base class of this package."""

from __future__ import annotations

from typing import Any

import numpy as np

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import BadInput
from speechprep.pipelines.backends import Language, Passage, Transcript, Word


class PlainAligner:
    """Words of equal length, each with the mean of its samples as its score."""

    sample_rate = 8_000

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def identity(self) -> dict[str, Any]:
        return {"name": "plain", "gain": self.gain}

    def align(self, audio: np.ndarray, text: str | None) -> Transcript:
        words = (text or "noise").split()
        edges = np.linspace(0, len(audio), len(words) + 1).round().astype(int)
        parts = zip(words, edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        timed = [
            Word(word, i / 8_000, j / 8_000, self.gain * float(audio[i:j].mean()) if j > i else None, "aligned")
            for word, i, j in parts
        ]
        return Transcript(" ".join(words), timed)


class PlainRecogniser:
    """One passage of two words for each second of audio."""

    sample_rate = 8_000

    def __init__(self, word: str = "noise") -> None:
        self.word = word

    def identity(self) -> dict[str, Any]:
        return {"name": "plain", "word": self.word}

    def passages(self, blocks: Any) -> Any:
        audio = np.concatenate([*blocks, np.zeros(0, np.float32)])
        for second in range(len(audio) // 8_000):
            part = audio[second * 8_000 : (second + 1) * 8_000]
            yield Passage(second, second + 1, part, f"{self.word} {second}", Language("en", 0.9), 0.1 * second, -second)


class PlainExtractor:
    """Frames of raw samples."""

    sample_rate = 16_000
    grid = FrameGrid(16_000, 100, 100)
    dim = 100

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def identity(self) -> dict[str, Any]:
        return {"name": "plain", "scale": self.scale}

    def extract(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        if any(len(audio) < 100 for audio in batch):
            raise BadInput("audio_too_short", "less than one frame of 100 samples")
        return [self.scale * audio[: len(audio) // 100 * 100].reshape(-1, 100) for audio in batch]


class PlainEmbedder:
    """Counts of letters."""

    def __init__(self, dim: int = 26) -> None:
        self.dim = dim

    def identity(self) -> dict[str, Any]:
        return {"name": "plain", "dim": self.dim}

    def embed_text(self, texts: list[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for letter in text.lower():
                vector[ord(letter) % self.dim] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9).astype(np.float32)


class PlainQuantizer:
    """The first frames are the centroids."""

    def __init__(self, skip: int = 0) -> None:
        self.skip = skip

    def identity(self) -> dict[str, Any]:
        return {"name": "plain", "skip": self.skip}

    def fit(self, frames: np.ndarray, k: int, seed: int) -> Any:
        self.centroids = np.asarray(frames[self.skip : self.skip + k], np.float32)
        return self


class WithoutExtract:
    sample_rate, grid, dim = 16_000, FrameGrid(16_000, 100, 100), 100

    def identity(self) -> dict[str, Any]:
        return {"name": "without extract"}


class WithoutGrid:
    sample_rate, dim = 16_000, 100

    def identity(self) -> dict[str, Any]:
        return {"name": "without grid"}

    def extract(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        return batch


def plain_extractor(scale: float = 1.0) -> Any:
    """A function in place of a class: what it returns lacks the optional methods."""
    return PlainExtractor(scale)
