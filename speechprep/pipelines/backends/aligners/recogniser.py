"""Whisper as a recogniser: chunks of speech in, their texts and the language out.

A model is a folder in CTranslate2's format, which faster-whisper reads, or a checkpoint of openai-whisper (`.pt`). Both
hear the same spectrograms and decode without timestamps, with the same beam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends.aligners.speech import CHUNK, RATE
from speechprep.pipelines.backends.model_files import digest_of, require

FILES = ("model.bin", "config.json", "tokenizer.json", "preprocessor_config.json")
ENCODED = 2  # chunks that are encoded at once on a CPU: more take memory and save no time
MAX_TOKENS = 448  # of Whisper's decoder, the prompt included

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
        batches = self._features(chunks)
        features = next(batches)
        language = known or self._language(features)
        found = self._decoded(features, language.code)
        for features in batches:
            found += self._decoded(features, language.code)
        return found, language

    def language(self, chunk: Samples) -> Language:
        """The language of one chunk."""
        return self._language(next(self._features([chunk])))

    def _features(self, chunks: Sequence[Samples]) -> Iterator[Any]:
        """What the encoder makes of the chunks, batch by batch."""
        if self._model is None:
            self._model = self._read()
        for first in range(0, len(chunks), self.batch_size):
            yield self._encoded([chunk[: CHUNK * RATE] for chunk in chunks[first : first + self.batch_size]])

    def _read(self) -> Any:
        raise NotImplementedError

    def _encoded(self, chunks: Sequence[Samples]) -> Any:
        raise NotImplementedError

    def _language(self, features: Any) -> Language:
        """That of the first chunk."""
        raise NotImplementedError

    def _decoded(self, features: Any, language: str) -> list[str]:
        raise NotImplementedError


class Ctranslate2Whisper(Recogniser):
    """A folder in CTranslate2's format, or a name that faster-whisper knows; texts are those of WhisperX."""

    packages = ("whisperx", "faster-whisper", "ctranslate2")

    def files(self) -> list[Path]:
        """Without its tokenizer and its features' settings the library would ask the network for them."""
        return require(self._folder(), *((name,) for name in FILES))

    def _folder(self) -> Path:
        """Fetched where it is a name and not here yet."""
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            return folder
        if folder.exists():
            raise ConfigError(f"the Whisper model {self.name} is neither a folder nor a checkpoint that ends in .pt")
        if find_spec("faster_whisper") is None:
            raise MissingBackend.package("aligner 'whisperx'", "faster-whisper", "whisperx")
        from faster_whisper.utils import download_model

        try:
            return Path(download_model(self.name))
        except (OSError, ValueError) as error:
            reason = first_line(error)[:120]
            raise MissingBackend(
                f"the Whisper model {self.name!r} is no folder and could not be fetched ({reason}); give the path of a "
                "folder in CTranslate2's format, or of a .pt of openai-whisper"
            ) from None

    def _read(self) -> Any:
        folder = self.files()[0].parent
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise MissingBackend.package("aligner 'whisperx'", "faster-whisper", "whisperx") from None
        try:
            return WhisperModel(
                str(folder), device=self.device, compute_type=self.compute_type, cpu_threads=self.threads
            )
        except (RuntimeError, ValueError) as error:
            reason = first_line(error)[:160]
            raise ConfigError(f"the Whisper model in {folder} cannot be read ({reason})") from None

    def _encoded(self, chunks: Sequence[Samples]) -> Any:
        from whisperx.audio import log_mel_spectrogram

        mels = int(self._model.feat_kwargs.get("feature_size") or 80)
        found = [log_mel_spectrogram(chunk, mels, padding=CHUNK * RATE - len(chunk)).numpy() for chunk in chunks]
        if self.device != "cpu" or len(found) <= ENCODED:
            return self._model.encode(np.stack(found))
        from ctranslate2 import StorageView

        parts = [self._model.encode(np.stack(found[i : i + ENCODED])) for i in range(0, len(found), ENCODED)]
        return StorageView.from_array(np.concatenate([np.asarray(part) for part in parts]))

    def _language(self, features: Any) -> Language:
        if not self._model.model.is_multilingual:
            return Language("en", None)
        token, probability = self._model.model.detect_language(features)[0][0]
        return Language(token[2:-2], float(probability))

    def _decoded(self, features: Any, language: str) -> list[str]:
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
        found = model.model.generate(
            features, [prompt] * features.shape[0], beam_size=self.beam_size, max_length=MAX_TOKENS
        )
        texts = [[token for token in result.sequences_ids[0] if token < tokenizer.eot] for result in found]
        decoded: list[str] = model.hf_tokenizer.decode_batch(texts)
        return decoded


def recogniser(model: str, *options: Any) -> Recogniser:
    """The recogniser of a model, not loaded; `options` as those of `Recogniser`."""
    if model.endswith(".pt"):
        from speechprep.pipelines.backends.aligners.openai_whisper import OpenaiWhisper

        return OpenaiWhisper(model, *options)
    return Ctranslate2Whisper(model, *options)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise MissingBackend.package("aligner 'whisperx'", package, "whisperx") from None
