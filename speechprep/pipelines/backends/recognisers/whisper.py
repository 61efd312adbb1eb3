"""`WhisperRecogniser`: base of the recognisers by Whisper, from chunks of speech to their texts and language.

`ctranslate2_whisper` runs folders in the format of CTranslate2. `openai_whisper` runs `.pt` files and folders of
transformers. Both use the same spectrograms and decode without timestamps, with the same beam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.base import require_packages
from speechprep.pipelines.backends.model_files import digest_of
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.whisper.sizes import languages
from speechprep.process import give_back

Samples = NDArray[np.float32]


class Language(NamedTuple):
    """A language code of Whisper ("en") and its probability.

    Attributes:
        code: the code.
        probability: None without detection: for a language from the options, and in an English-only model.
        given: the language comes from the options.
    """

    code: str
    probability: float | None
    given: bool = False


class WhisperRecogniser:
    """A Whisper model, read on first use.

    Args:
        model: folder, file or name.
        device: "cpu" or "cuda".
        compute_type: precision.
        beam_size: beam of the search.
        batch_size: chunks in one batch.
        threads: threads on a CPU.

    Attributes:
        packages: as in `Backend`.
        distributions: names of the distributions with their versions in the identity.
    """

    packages: ClassVar[Mapping[str, str]]
    distributions: ClassVar[tuple[str, ...]]

    def __init__(
        self, model: str, device: str, compute_type: str, beam_size: int, batch_size: int, threads: int
    ) -> None:
        self.name = model
        self.device, self.compute_type, self.threads = device, compute_type, threads
        self.beam_size, self.batch_size = beam_size, batch_size
        self._model: Any = None
        self._lock = Lock()  # openai-whisper keeps the state of a search in the model

    def files(self) -> list[Path]:
        """Files of the model.

        Raises:
            MissingBackend: a file is absent.
        """
        raise NotImplementedError

    def check(self, label: str) -> None:
        """Check packages and files, without a download; see `Backend.check`."""
        require_packages(label, self.packages)

    def vocabulary(self) -> int | None:
        """Number of token ids of a local model; None before a download.

        Raises:
            ConfigError, MissingBackend: the model is damaged or absent.
        """
        raise NotImplementedError

    def check_language(self, label: str, code: str) -> None:
        """Check a language from the options.

        Raises:
            ConfigError: the model does not recognise this language.
        """
        vocabulary = self.vocabulary()
        if vocabulary is None or code in (codes := languages(vocabulary)):
            return
        if len(codes) == 1:
            raise ConfigError(
                f"{label}: language = {code!r}, but the Whisper model {self.name} is English-only; choose a "
                "multilingual model, or leave the language out"
            )
        raise ConfigError(
            f"{label}: language = {code!r} is none of the {len(codes)} languages of the Whisper model {self.name} "
            f"({', '.join(codes[:8])}, ...); for given transcripts use the aligner ctc"
        )

    def identity(self) -> dict[str, Any]:
        """Versions of the packages, name and sha256 of the model."""
        files = self.files()
        return {
            "packages": {name: _version(name) for name in self.distributions},
            "whisper": files[0].name if len(files) == 1 else files[0].parent.name,
            "whisper_sha256": digest_of(files),
        }

    def texts(self, chunks: Sequence[Samples], language: Language | None) -> tuple[list[str], Language]:
        """The text of each chunk of one recording, and its language.

        Args:
            chunks: at least one, each (n,) at 16 kHz, at most `CHUNK` seconds.
            language: language of the recording; None: detected in the first chunk.
        """
        with self._lock:
            batches = self._features(chunks)
            features = next(batches)
            language = language or self._language(features)
            texts = self._decoded(features, language.code)
            for features in batches:
                texts += self._decoded(features, language.code)
        give_back()
        return texts, language

    def language(self, chunk: Samples) -> Language:
        """The language of one chunk."""
        with self._lock:
            return self._language(next(self._features([chunk])))

    def _features(self, chunks: Sequence[Samples]) -> Iterator[Any]:
        """Encoder output of the chunks, batch by batch."""
        if self._model is None:
            self._model = self._read()
            give_back()  # the buffers of the file remain after the conversion of the weights
        size = -(-len(chunks) // -(-len(chunks) // self.batch_size))  # the smallest number of batches, of equal size
        for first in range(0, len(chunks), size):
            features = self._encoded([chunk[: CHUNK * RATE] for chunk in chunks[first : first + size]])
            give_back()
            yield features

    def _read(self) -> Any:
        raise NotImplementedError

    def _encoded(self, chunks: Sequence[Samples]) -> Any:
        raise NotImplementedError

    def _language(self, features: Any) -> Language:
        """The language of the first chunk."""
        raise NotImplementedError

    def _decoded(self, features: Any, language: str) -> list[str]:
        raise NotImplementedError


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise MissingBackend.package("aligner 'whisperx'", package, "whisperx") from None
