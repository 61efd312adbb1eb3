"""`WhisperModel`: a Whisper model in any form, from chunks of speech to their texts, scores and language.

`ctranslate2_whisper` runs folders in the format of CTranslate2. `openai_whisper` runs `.pt` files and folders of
transformers. Both use the same spectrograms and decode without timestamps, with the same beam.

Temperature fallback is that of Whisper (Radford et al. 2022, section 4.5): a text with a high compression ratio or a
low mean log-probability is decoded again by sampling at the next temperature. The samples depend on the chunks of the
recording only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends import Language
from speechprep.pipelines.backends.base import require_packages
from speechprep.pipelines.backends.model_files import digest_of
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, RATE
from speechprep.pipelines.backends.whisper.sizes import languages
from speechprep.process import give_back
from speechprep.tokenizers.alignment.transcript_scores import zlib_ratio

Samples = NDArray[np.float32]


class Decoded(NamedTuple):
    """The text of a chunk.

    Attributes:
        text: the text.
        no_speech_probability: probability of the token for "no speech" after the start token.
        log_probability: mean log-probability of the tokens, the end token included, in nats.
        temperature: of the sampling; 0: beam search.
    """

    text: str
    no_speech_probability: float
    log_probability: float
    temperature: float = 0.0

    def is_silence(self, no_speech: float, log_probability: float) -> bool:
        """Whisper's test for a chunk without speech: beyond both limits."""
        return self.no_speech_probability > no_speech and self.log_probability < log_probability

    @property
    def prompt(self) -> str:
        """Text for the decoding of the next chunk: empty if it was sampled above `PROMPT_TEMPERATURE`."""
        return self.text if self.temperature <= PROMPT_TEMPERATURE else ""


class TimedPiece(NamedTuple):
    """A part of a text with its time in seconds, and the mean probability of its tokens."""

    text: str
    start: float
    end: float
    probability: float


class Decoding(NamedTuple):
    """Options of the decoder.

    Attributes:
        beam_size: beam of the search at temperature 0.
        temperatures: in ascending order, the first is 0; the next one is used if a text fails both limits.
        condition_on_previous_text: the text of the chunk before is the prompt; chunks are then decoded one by one.
    """

    beam_size: int = 5
    temperatures: tuple[float, ...] = (0.0,)
    condition_on_previous_text: bool = False


LEAST_SAMPLES = 400  # one frame of the spectrogram
HOP, MEL_FRAMES = 160, 3000  # samples from frame to frame of the spectrogram; its frames in the window
SAMPLES = 5  # of a text at a temperature above 0; the likeliest one counts
PROMPT_TEMPERATURE = 0.5  # a text sampled above it is no prompt for the next chunk
# Limits of Whisper:
MAX_COMPRESSION_RATIO, MIN_LOG_PROBABILITY = 2.4, -1.0  # a text beyond one of them is decoded again
NO_SPEECH = 0.6  # a text above it and below `MIN_LOG_PROBABILITY` is not decoded again: there is nothing to find


class WhisperModel:
    """A Whisper model, read on first use.

    Args:
        model: folder, file or name.
        device: "cpu" or "cuda".
        compute_type: precision.
        decoding: options of the decoder.
        batch_size: chunks in one batch.
        threads: threads on a CPU.

    Attributes:
        packages: as in `Backend`.
        distributions: names of the distributions with their versions in the identity.
    """

    packages: ClassVar[Mapping[str, str]]
    distributions: ClassVar[tuple[str, ...]]

    def __init__(
        self, model: str, device: str, compute_type: str, decoding: Decoding, batch_size: int, threads: int
    ) -> None:
        self.name = model
        self.device, self.compute_type, self.threads = device, compute_type, threads
        self.decoding, self.batch_size = decoding, batch_size
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

    def texts(
        self, chunks: Sequence[Samples], language: Language | None, previous: str = ""
    ) -> tuple[list[Decoded], Language]:
        """The text of each chunk of one recording, and its language.

        Args:
            chunks: at least one, each (n,) at 16 kHz, at most `CHUNK` seconds.
            language: language of the recording; None: detected in the first chunk.
            previous: text before the first chunk, used with `condition_on_previous_text` only.
        """
        results: list[Decoded] = []
        with self._lock:
            batches = self._features(chunks)
            first = next(batches)
            language = language or self._language(first)
            for features in chain([first], batches):
                decoded = self._decoded(features, language.code, previous)
                decoded = [
                    self._fallback(features, i, result, language.code, previous) for i, result in enumerate(decoded)
                ]
                results += decoded
                if self.decoding.condition_on_previous_text:
                    previous = decoded[-1].prompt
            self._forget_sampler()
        give_back()
        return results, language

    def _fallback(self, features: Any, i: int, result: Decoded, language: str, previous: str) -> Decoded:
        """The text of chunk `i` of a batch at the first temperature within the limits, otherwise at the last one."""
        for temperature in self.decoding.temperatures[1:]:
            loops = zlib_ratio(result.text) > MAX_COMPRESSION_RATIO
            failed = loops or result.log_probability < MIN_LOG_PROBABILITY
            if result.is_silence(NO_SPEECH, MIN_LOG_PROBABILITY) or not failed:
                break
            result = self._sampled(features, i, language, previous, temperature)
        return result

    def language(self, chunk: Samples) -> Language:
        """The language of one chunk."""
        with self._lock:
            return self._language(next(self._features([chunk])))

    def timed(self, chunk: Samples, text: str, language: str, most: int) -> list[TimedPiece] | None:
        """The pieces of a text with their times by cross-attention; None for more than `most` tokens.

        Args:
            chunk: (n,) at 16 kHz, at most `CHUNK` seconds.
            text: its text.
            language: code of its language.
            most: maximal number of tokens.
        """
        with self._lock:
            self._load()
            return self._attended(chunk, " " + text.strip(), language, most)

    def _load(self) -> None:
        if self._model is None:
            self._model = self._read()
            give_back()  # the buffers of the file remain after the conversion of the weights

    def _features(self, chunks: Sequence[Samples]) -> Iterator[Any]:
        """Encoder output of the chunks, batch by batch."""
        self._load()
        most = 1 if self.decoding.condition_on_previous_text else self.batch_size
        size = -(-len(chunks) // -(-len(chunks) // most))  # the smallest number of batches, of equal size
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

    def _decoded(self, features: Any, language: str, previous: str) -> list[Decoded]:
        """The texts of all chunks at temperature 0."""
        raise NotImplementedError

    def _sampled(self, features: Any, i: int, language: str, previous: str, temperature: float) -> Decoded:
        """The likeliest of `SAMPLES` texts of chunk `i` at a temperature above 0."""
        raise NotImplementedError

    def _attended(self, chunk: Samples, text: str, language: str, most: int) -> list[TimedPiece] | None:
        raise NotImplementedError

    def _forget_sampler(self) -> None:
        """Start a new sequence of random numbers."""


def check_length(audio: Samples) -> None:
    """Check that audio (n,) has at least one frame.

    Raises:
        BadInput: `audio_too_short`.
    """
    if len(audio) < LEAST_SAMPLES:
        raise BadInput("audio_too_short", f"{len(audio)} samples of audio hold no word: remove the utterance")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise MissingBackend.package("a Whisper model", package, "whisperx") from None
