"""Whisper as a recogniser: chunks of speech in, their texts and the language out.

A model is a folder in CTranslate2's format or a checkpoint of openai-whisper, each in a file of its own here. Both
hear the same spectrograms and decode without timestamps, with the same beam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import MissingBackend
from speechprep.pipelines.backends.aligners.speech import CHUNK, RATE
from speechprep.pipelines.backends.model_files import digest_of
from speechprep.process import give_back

Samples = NDArray[np.float32]


class Language(NamedTuple):
    """A code as Whisper has it ("en"), and its probability; None where it was given or the model knows one only."""

    code: str
    probability: float | None


class Recogniser:
    """What both kinds have in common.

    Args:
        model: folder, file or name. device: "cpu" or "cuda". compute_type: precision. beam_size: of the search.
        batch_size: chunks heard together. threads: on a CPU.
    """

    packages: tuple[str, ...]

    def __init__(
        self, model: str, device: str, compute_type: str, beam_size: int, batch_size: int, threads: int
    ) -> None:
        self.name = model
        self.device, self.compute_type, self.threads = device, compute_type, threads
        self.beam_size, self.batch_size = beam_size, batch_size
        self._model: Any = None
        self._lock = Lock()  # openai-whisper keeps the state of a search in the model

    def files(self) -> list[Path]:
        """Of the model.

        Raises:
            MissingBackend: one is not there.
        """
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Versions of the packages, name and sha256 of the model."""
        files = self.files()
        return {
            "packages": {name: _version(name) for name in self.packages},
            "whisper": files[0].name if len(files) == 1 else files[0].parent.name,
            "whisper_sha256": digest_of(files),
        }

    def texts(self, chunks: Sequence[Samples], known: Language | None) -> tuple[list[str], Language]:
        """What is said in each chunk of one recording, and its language, heard in the first chunk where it is None.

        Args:
            chunks: at least one, each (n,) at 16 kHz, at most `CHUNK` seconds.
        """
        with self._lock:
            batches = self._features(chunks)
            features = next(batches)
            language = known or self._language(features)
            found = self._decoded(features, language.code)
            for features in batches:
                found += self._decoded(features, language.code)
        give_back()
        return found, language

    def language(self, chunk: Samples) -> Language:
        """The language of one chunk."""
        with self._lock:
            return self._language(next(self._features([chunk])))

    def _features(self, chunks: Sequence[Samples]) -> Iterator[Any]:
        """What the encoder makes of the chunks, batch by batch."""
        if self._model is None:
            self._model = self._read()
            give_back()  # what was read stands beside what was made of it
        size = -(-len(chunks) // -(-len(chunks) // self.batch_size))  # as few batches as may be, and even
        for first in range(0, len(chunks), size):
            made = self._encoded([chunk[: CHUNK * RATE] for chunk in chunks[first : first + size]])
            give_back()
            yield made

    def _read(self) -> Any:
        raise NotImplementedError

    def _encoded(self, chunks: Sequence[Samples]) -> Any:
        raise NotImplementedError

    def _language(self, features: Any) -> Language:
        """That of the first chunk."""
        raise NotImplementedError

    def _decoded(self, features: Any, language: str) -> list[str]:
        raise NotImplementedError


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise MissingBackend.package("aligner 'whisperx'", package, "whisperx") from None
