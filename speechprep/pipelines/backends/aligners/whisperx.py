"""Aligner `whisperx`: word times by a CTC model for each language, as in WhisperX, with recognition by Whisper.

With `whisper`, speech without a transcript is recognised as by the recogniser `whisper` (see there). Without it, the
aligner times given transcripts, or the words of the recogniser of `align`. Like WhisperX, it has no temperature
fallback.

There are two different ways to time words (`mode`):

* "ctc", the default: the exact best CTC path, as in aligner `ctc`. Scores are mean log-probabilities, at most 0. Digits
  and symbols are timed by their spoken form.
* "whisperx": the result of `whisperx.align` 3.8 on the same emissions, to the last digit. Scores are probabilities, 0
  to 1. A character without a letter in the model is a wildcard.

A given transcript is aligned in the same mode, with the audio as one segment.

Without `language`, Whisper detects the language of each recording. An align model can serve one language or all;
several languages can have one model each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Aligner, Language, Transcript
from speechprep.pipelines.backends.aligners.ctc import CtcAligner
from speechprep.pipelines.backends.aligners.ctc_languages import ANY, CtcLanguages
from speechprep.pipelines.backends.aligners.recognised import RecognisedAligner
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.base import check_device
from speechprep.pipelines.backends.recognisers.voice_activity import RATE
from speechprep.pipelines.backends.recognisers.whisper import WhisperRecogniser
from speechprep.tokenizers.english.spoken import tokens

VERSION = 3  # raise it if the same input gives other words or times
ENGLISH = "WAV2VEC2_ASR_BASE_960H"

Samples = NDArray[np.float32]


class WhisperxAligner(StreamAligner):
    """Recognition and alignment with the models of WhisperX.

    Args:
        whisper: `model` of the recogniser `whisper`; None: no recognition.
        align_model: `model` of aligner `ctc` for all languages; or language -> model, and speech in other languages is
            rejected.
        language: language of the speech; None: detected in each recording.
        mode: way to time words, "ctc" or "whisperx".
        device: "cpu" or "cuda".
        threads: threads of the models on a CPU in each worker process. More workers are more efficient, except for a
            single recording.
        folder: folder with the weights of a torchaudio align model.
        vad, vad_onset, batch_size, beam_size, compute_type, piece: as of the recogniser `whisper`.
    """

    name = "whisperx"
    packages: ClassVar[Mapping[str, str]] = {"faster_whisper": "whisperx", "torch": "whisperx"}
    sample_rate = RATE
    thread_safe = True  # one thread at a time loads a model, recognises, or runs pyannote

    def __init__(
        self,
        whisper: str | None = None,
        align_model: str | Mapping[str, str] | None = None,
        language: str | None = None,
        mode: Literal["ctc", "whisperx"] = "ctc",
        device: str = "cpu",
        threads: int = 1,
        folder: str | None = None,
        vad: Literal["silero", "pyannote"] = "silero",
        vad_onset: float = 0.5,
        batch_size: int | None = None,
        beam_size: int = 5,
        compute_type: str = "float32",
        piece: float | None = None,
    ) -> None:
        if mode not in ("ctc", "whisperx"):
            raise ConfigError(f"whisperx: mode = {mode!r}; choose ctc or whisperx")
        models = {"en": ENGLISH} if align_model is None else align_model
        if isinstance(models, str):
            models = {ANY: models}
        if language is not None and not {language, ANY} & set(models):
            raise ConfigError(f"whisperx: no align_model for language = {language!r}; there is {', '.join(models)}")
        self._language, self._device = language, device
        self._models = CtcLanguages(
            {
                code: CtcAligner(model, language or code, device=device, folder=folder, threads=threads)
                for code, model in models.items()
            },
            mode,
        )
        self.languages = None if ANY in models else tuple(models)
        self.recognises = whisper is not None
        self.recogniser: WhisperRecogniser | None = None
        if whisper is not None:
            self.recogniser = WhisperRecogniser(
                whisper, language=language, vad=vad, vad_onset=vad_onset, batch_size=batch_size, beam_size=beam_size,
                temperatures=[0], compute_type=compute_type, device=device, threads=threads, piece=piece,
            )  # fmt: skip
        self._recognised = None if self.recogniser is None else RecognisedAligner(self.recogniser, self)

    @property
    def needs_language(self) -> bool:  # type: ignore[override]
        """True if the language is detected."""
        return self._language is None

    def identity(self) -> dict[str, Any]:
        """Name, versions, sha256 of the models and every parameter."""
        return {
            "name": "whisperx",
            "version": VERSION,
            "sample_rate": self.sample_rate,
            "language": self._language,
            "mode": self._models.mode,
            "device": self._device,
            "whisper": None if self.recogniser is None else self.recogniser.identity(),
            "align": {code: aligner.identity() for code, aligner in self._models.models.items()},
        }

    def check(self) -> None:
        """Check packages, device name, precision and model files, without torch and without a download.

        Raises:
            MissingBackend: a package or a file of a model is absent.
            ConfigError: an unknown precision or device name, or a model for another sample rate.
        """
        super().check()
        check_device(self.label, self._device, auto=False)
        if self.recogniser is not None:
            self.recogniser.check()
        for aligner in self._models.models.values():
            aligner.model.check(self.label)

    def load(self) -> None:
        """Check the files of Whisper, and read a single align model; everything else is read on first use."""
        if self.recogniser is not None:
            self.recogniser.load()
        if len(self._models.models) == 1:
            self._models.find(Language(next(iter(self._models.models)), None))

    def for_language(self, language: Language) -> Aligner:
        """The loaded aligner for a language."""
        found = self._models.find(language)
        return super().for_language(language) if found is None else found

    def align_stream(self, blocks: Iterable[Samples], text: str | None) -> Transcript:
        """`align` for audio in blocks; memory does not grow with the length of the audio.

        Raises:
            BadInput: as of the aligner `ctc`; `no_align_model` for speech in a language without a model.
        """
        if text is not None and not tokens(text):
            return Transcript("", [])
        if text is None and self._recognised is None:
            raise ConfigError("whisperx: no Whisper model for speech without a transcript; set the option whisper")
        if self._recognised is not None and (text is None or self.needs_language):
            return self._recognised.align_stream(blocks, text)
        return self.for_language(self._known_language()).align_stream(blocks, text)

    def _known_language(self) -> Language:
        """The language from the options, or of the only model."""
        code = self._language or (self.languages[0] if self.languages and len(self.languages) == 1 else None)
        if code is None:
            raise BadInput(
                "no_align_model",
                "the language of this recording is unknown: set the option language of the aligner, or choose a "
                "recogniser",
            )
        return Language(code, None)
