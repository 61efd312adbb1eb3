"""Embedder `caption`: TF-IDF over captions and labels, hashed into a fixed dimension. No model, no download.

A text is represented by its distinct words without the most frequent function words. A word is represented by its stem
and its character 3- and 4-grams, so "dogs barking" is near "Dog Bark 4", and "brushingteeth" near "brushing teeth".
Each of them is hashed (CRC-32) to one of `dim` places with a sign. Words are weighted by the square root of their
frequency, places by the idf of the corpus (`fit`). Audio is not analysed: sounds are similar if their captions are.

Measured with 512 dimensions on the titles of 200 ESC-50 clips, with a class name as the query: the first hit is right
for 96 % of the classes, and 78 % of the first four hits are right. Whole words alone reach 88 and 68 %.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.backends import Embedder

VERSION = 1
IDF = "idf.npy"
GRAMS = (3, 4)
_WORD = re.compile(r"[^\W_]+")
_STOP = (
    "a an and are as at be by for from in into is it its of off on or over that the then this to was were while with"
)
_SUFFIXES = (("ings", 3), ("ing", 3), ("ers", 4), ("ies", 3), ("es", 3), ("ed", 3), ("er", 4), ("s", 3))

F32 = NDArray[np.float32]


class CaptionEmbedder(Embedder):
    """TF-IDF vectors of texts; without `fit` or `restore` all words have the same weight."""

    name = "caption"
    thread_safe = True  # the weights are only read

    def __init__(self, dim: int = 512) -> None:
        if dim < 16:
            raise ConfigError(f"caption: dim = {dim}; at least 16 are needed, 512 are usual")
        self.dim = dim
        self._idf = np.ones(dim, np.float32)
        self._fitted = False

    def identity(self) -> dict[str, Any]:
        """Name, version and parameters; after `fit` also the sha256 of the weights."""
        identity = {"name": "caption", "version": VERSION, "dim": self.dim, "grams": list(GRAMS)}
        return {**identity, "idf": hashlib.sha256(self._idf.tobytes()).hexdigest()} if self._fitted else identity

    def fit(self, texts: Iterable[str]) -> CaptionEmbedder:
        """An embedder with the word weights of a corpus; the order of the texts does not matter."""
        frequency = np.zeros(self.dim, np.int64)
        n = 0
        for text in texts:
            n += 1
            places = [_places(word, self.dim)[0] for word in words(text)]
            if places:
                frequency[np.unique(np.concatenate(places))] += 1
        fitted = CaptionEmbedder(self.dim)
        fitted._idf = np.asarray(np.log((1 + n) / (1 + frequency)) + 1, np.float32)
        fitted._fitted = True
        return fitted

    def save(self, folder: Path) -> None:
        """Write the weights into a folder."""
        np.save(folder / IDF, self._idf.astype("<f4"), allow_pickle=False)

    def restore(self, folder: Path) -> None:
        """Read the weights written by `save`.

        Raises:
            StaleArtifact: the weights are missing, or have another dimension.
        """
        try:
            idf = np.load(folder / IDF, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StaleArtifact(f"{folder / IDF} cannot be read ({error}); build the index again") from None
        if idf.shape != (self.dim,):
            raise StaleArtifact(f"{folder / IDF} has shape {idf.shape}, not ({self.dim},); build the index again")
        self._idf = idf.astype(np.float32)
        self._fitted = True

    def embed_text(self, texts: list[str]) -> F32:
        """(len(texts), dim) float32 of unit length; all zero for a text without a word."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word, count in words(text).items():
                places, weights = _places(word, self.dim)
                np.add.at(vector, places, weights * np.float32(count**0.5))
            vector *= self._idf
            length = float((vector.astype(np.float64) ** 2).sum()) ** 0.5
            if length > 0:
                vector /= np.float32(length)
        return vectors


def words(text: str) -> Counter[str]:
    """The words of a text in lower case with their counts, without function words unless there are no others."""
    matches = _WORD.findall(text.casefold())
    stop = _STOP.split()
    return Counter([word for word in matches if word not in stop] or matches)


def stem(word: str) -> str:
    """A word without the most frequent English endings: dogs, barked, barking, berries -> dog, bark, bark, berr."""
    for suffix, shortest in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= shortest and not word.endswith("ss"):
            word = word[: -len(suffix)]
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]  # running -> runn -> run
    return word[:-1] if len(word) > 3 and word[-1] in "ey" else word


@lru_cache(maxsize=1 << 16)
def _places(word: str, dim: int) -> tuple[NDArray[np.int64], F32]:
    """Places of a word in the vector, and signed weights: 1 for its stem, (number of n-grams)^-1/4 for each n-gram."""
    padded = f"^{word}$"
    grams = [padded[i : i + n] for n in GRAMS for i in range(len(padded) - n + 1)]
    hashes = [zlib.crc32(term.encode()) for term in (f"w:{stem(word)}", *(f"c:{gram}" for gram in grams))]
    weights = [1.0] + [len(grams) ** -0.25] * len(grams)
    signed = [weight if h >> 31 else -weight for h, weight in zip(hashes, weights, strict=True)]
    return np.array([h % dim for h in hashes], np.int64), np.array(signed, np.float32)
