"""Aligner `whisperx`: recognition by Whisper and word times by a CTC model, as in WhisperX.

Speech is detected by Silero, shipped with faster-whisper, or by the pyannote model shipped with WhisperX (`vad`), about
thirty times slower. Speech is merged into chunks of at most 30 s, and Whisper recognises several chunks at once. Models
are local folders, or names to download once; local folders need no network. A Whisper model is a folder in the format
of CTranslate2 (faster-whisper), a `.pt` of openai-whisper, or a transformers folder.

There are two different ways to time words (`mode`):

* "ctc", the default: the exact best CTC path, as in aligner `ctc`. Scores are mean log-probabilities, at most 0. Digits
  and symbols are timed by their spoken form.
* "whisperx": the result of `whisperx.align` 3.8 on the same emissions, to the last digit. Scores are probabilities, 0
  to 1. A character without a letter in the model is a wildcard.

A given transcript is aligned in the same mode, with the audio as one segment. Long audio is transcribed in pieces with
borders between two chunks, so memory does not grow with its length.

Without `language`, Whisper detects the language and its probability in the first chunk of speech of each recording. An
align model can serve one language or all; several languages can have one model each. An English-only Whisper sets the
language to "en", without a probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Transcript, Word
from speechprep.pipelines.backends.aligners.ctc import CtcAligner
from speechprep.pipelines.backends.aligners.ctc_model import too_short
from speechprep.pipelines.backends.aligners.sliding_window import SlidingWindow
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import interpolated
from speechprep.pipelines.backends.base import check_device
from speechprep.pipelines.backends.recognisers.choose import recogniser
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, DETECTORS, RATE, Span, SpeechDetector
from speechprep.pipelines.backends.recognisers.whisper import Language
from speechprep.pipelines.backends.whisper.forms import form_of
from speechprep.process import give_back
from speechprep.tokenizers.alignment.whisperx import align_segment
from speechprep.tokenizers.english.spoken import tokens

VERSION = 2  # raise it if the same input gives other words or times
BATCH = {"cpu": 2, "gpu": 8}  # chunks
PIECE = {"cpu": 120.0, "gpu": 300.0}  # seconds
EDGE = 1.0  # seconds at the end of a piece; a chunk that ends there may be incomplete
LEAST_SAMPLES = 400  # one frame of an align model
WITHOUT_SPACES = ("ja", "zh")
ENGLISH = "WAV2VEC2_ASR_BASE_960H"
ANY = "*"  # an align model for all languages

Samples = NDArray[np.float32]


class WhisperxAligner(StreamAligner):
    """Recognition and alignment with the models of WhisperX.

    Args:
        whisper: folder of a Whisper model in the format of CTranslate2, a name of faster-whisper ("small"), a `.pt` of
            openai-whisper, or a transformers folder.
        align_model: `model` of aligner `ctc` for all languages; or language -> model, and speech in other languages is
            rejected.
        language: language of the speech; None: detected in each recording.
        mode: way to time words, "ctc" or "whisperx".
        vad: speech detector, "silero" or "pyannote".
        vad_onset: lowest probability of speech.
        batch_size: chunks of one recording in one batch of Whisper. Default: 8 on a GPU and 2 on a CPU, because more
            save little time there and each takes 45 MB with a model of the base size. The words do not depend on it.
        beam_size: beam of the search in Whisper.
        compute_type: precision of Whisper: "float32", "int8" (not for a `.pt`), on a GPU "float16".
        device: "cpu" or "cuda".
        threads: threads of the models on a CPU in each worker process. More workers are more efficient, except for a
            single recording.
        piece: seconds of long audio in one piece. Default: 300 on a GPU; 120 on a CPU, where the speech detector takes
            60 MB for 120 s.
        folder: folder with the weights of a torchaudio align model.
    """

    name = "whisperx"
    packages: ClassVar[Mapping[str, str]] = {"faster_whisper": "whisperx", "torch": "whisperx"}
    sample_rate = RATE
    thread_safe = True  # one thread at a time loads a model, recognises, or runs pyannote

    def __init__(
        self,
        whisper: str,
        align_model: str | Mapping[str, str] | None = None,
        language: str | None = None,
        mode: Literal["ctc", "whisperx"] = "ctc",
        vad: Literal["silero", "pyannote"] = "silero",
        vad_onset: float = 0.5,
        batch_size: int | None = None,
        beam_size: int = 5,
        compute_type: str = "float32",
        device: str = "cpu",
        threads: int = 1,
        piece: float | None = None,
        folder: str | None = None,
    ) -> None:
        if mode not in ("ctc", "whisperx") or vad not in DETECTORS:
            raise ConfigError(f"whisperx: mode = {mode!r}, vad = {vad!r}; choose ctc or whisperx, silero or pyannote")
        kind = "cpu" if device == "cpu" else "gpu"
        batch_size = BATCH[kind] if batch_size is None else batch_size
        piece = PIECE[kind] if piece is None else piece
        if not (0 < vad_onset < 1 and batch_size >= 1 and beam_size >= 1 and threads >= 1 and piece >= 3 * CHUNK):
            raise ConfigError(
                f"whisperx: vad_onset = {vad_onset!r}, batch_size = {batch_size!r}, beam_size = {beam_size!r}, "
                f"threads = {threads!r}, piece = {piece!r}; choose one between 0 and 1, three of at least 1, and at "
                f"least {3 * CHUNK} seconds"
            )
        self._options: dict[str, Any] = {
            "language": language, "mode": mode, "vad": vad, "vad_onset": vad_onset, "batch_size": batch_size,
            "beam_size": beam_size, "compute_type": compute_type, "device": device, "piece": float(piece),
        }  # fmt: skip
        self._whisper = recogniser(str(whisper), device, compute_type, beam_size, batch_size, threads)
        self._detector = SpeechDetector(vad, vad_onset, device)
        models = {"en": ENGLISH} if align_model is None else align_model
        if isinstance(models, str):
            models = {ANY: models}
        self._aligners = {
            code: CtcAligner(model, language or code, device=device, folder=folder, threads=threads)
            for code, model in models.items()
        }
        self._ready: set[str] = set()
        self._loading = Lock()
        if language is not None and not {language, ANY} & set(self._aligners):
            raise ConfigError(f"whisperx: no align_model for language = {language!r}; there is {', '.join(models)}")

    def identity(self) -> dict[str, Any]:
        """Name, versions, sha256 of the models and every parameter."""
        return {
            "name": "whisperx",
            "version": VERSION,
            **self._whisper.identity(),
            "sample_rate": self.sample_rate,
            **self._options,
            "align": {code: aligner.identity() for code, aligner in self._aligners.items()},
        }

    def check(self) -> None:
        """Check packages, device name, precision and model files, without torch and without a download.

        Raises:
            MissingBackend: a package or a file of a model is absent.
            ConfigError: an unknown precision or device name, or a model for another sample rate.
        """
        super().check()
        check_device(self.label, self._options["device"], auto=False)
        self._whisper.check(self.label)
        self._detector.check(self.label)
        if form_of(Path(self._whisper.name).expanduser()) != "openai":  # torch reads a .pt, in `load`
            self._check_language()
        for aligner in self._aligners.values():
            aligner.model.check(self.label)

    def load(self) -> None:
        """Check the files of Whisper, and read a single align model; everything else is read on first use."""
        self._whisper.files()
        self._check_language()
        if len(self._aligners) == 1:
            self._load(*self._aligners)

    def _check_language(self) -> None:
        code = self._options["language"]
        if code is not None:
            self._whisper.check_language(self.label, code)

    def _load(self, code: str) -> CtcAligner:
        with self._loading:
            if code not in self._ready:
                self._aligners[code].load()
                self._ready.add(code)
        return self._aligners[code]

    def _aligner(self, language: Language) -> CtcAligner:
        """The loaded align model for a language.

        Raises:
            BadInput: `no_align_model`.
        """
        code = language.code if language.code in self._aligners else ANY
        if code not in self._aligners:
            raise BadInput(
                "no_align_model",
                f"the recognised language is {language.code!r}{_probability(language)}, and align_model has none for "
                f"it, only for {', '.join(self._aligners)}; add a model for this language, or set the option language",
            )
        return self._load(code)

    # -- with a transcript ---------------------------------------------------------------------------------------------

    def _timed(self, stream: SlidingWindow, text: str) -> Transcript:
        language = self._given() or self._detected(stream)
        aligner = self._aligner(language)
        if self._options["mode"] == "ctc":
            return replace(aligner.timed(stream, text, language.code), **_detection(language))
        parts = list(aligner.model.stream(stream, aligner.window, aligner.overlap))
        n_samples = stream.skip()
        if not parts:
            raise too_short(n_samples)
        plain = " ".join(tokens(text))
        words = self._as_whisperx(aligner, np.concatenate(parts), plain, (0.0, n_samples / RATE), language.code)
        if words is None:
            raise BadInput("align_failed", "no way to fit the transcript into the audio: does it belong to it?")
        return Transcript(plain, words, **_detection(language))

    def _given(self) -> Language | None:
        code = self._options["language"]
        return None if code is None else Language(code, None, given=True)

    def _detected(self, stream: SlidingWindow) -> Language:
        """The language of the first chunk of speech in the first piece; without speech, of its first 30 s."""
        audio = stream.fill(self._piece())
        if len(audio) < LEAST_SAMPLES:
            raise too_short(len(audio))
        start, end = next(iter(self._detector.chunks(audio)), (0.0, float(CHUNK)))
        return self._whisper.language(audio[int(start * RATE) : int(end * RATE)])

    # -- without -------------------------------------------------------------------------------------------------------

    def _recognise(self, stream: SlidingWindow) -> Transcript:
        """Recognise piece by piece; a piece ends before the first chunk at its edge."""
        words: list[Word] = []
        language = self._given()
        last = False
        while not last:
            audio = stream.fill(self._piece())
            last = stream.is_last(self._piece())
            if not stream.start and len(audio) < LEAST_SAMPLES:
                raise too_short(len(audio))
            chunks = self._detector.chunks(audio)
            give_back()
            limit = len(audio) / RATE - (0.0 if last else EDGE)
            whole = [chunk for chunk in chunks if last or chunk[1] <= limit]
            if whole:
                base = stream.start / RATE
                sounds = [audio[int(start * RATE) : int(end * RATE)] for start, end in whole]
                texts, language = self._whisper.texts(sounds, language)
                for chunk, text in zip(whole, texts, strict=True):
                    timed = self._chunk(audio, chunk, text, language)
                    words += [replace(word, start=word.start + base, end=word.end + base) for word in timed]
            cut = limit if len(whole) == len(chunks) else chunks[len(whole)][0]
            stream.advance(len(audio) if last else round(cut * RATE))
        return Transcript(" ".join(word.text for word in words), words, **_detection(language))

    def _piece(self) -> int:
        return round(float(self._options["piece"]) * RATE)

    def _chunk(self, audio: Samples, chunk: Span, text: str, language: Language) -> list[Word]:
        """The words of a chunk in seconds of the piece; words without alignment divide the chunk evenly."""
        aligner = self._aligner(language)
        start, end = round(chunk[0], 3), round(chunk[1], 3)  # as in WhisperX
        samples = audio[int(start * RATE) : int(end * RATE)]
        words: list[Word] | None = None
        if self._options["mode"] == "whisperx":
            if len(samples) >= LEAST_SAMPLES:
                emissions = aligner.model.emissions(samples)
                words = self._as_whisperx(aligner, emissions, text, (start, end), language.code)
        elif tokens(text):
            try:
                aligned = aligner.timed(SlidingWindow(iter([samples])), text, language.code).words
                words = [replace(word, start=word.start + start, end=word.end + start) for word in aligned]
            except BadInput:
                words = None  # hallucinated text may not fit; the words get interpolated times and no score
        if words is not None:
            return words
        written = tokens(text)
        times = interpolated([None] * len(written), end - start)
        return [
            Word(word, start + first, start + last, None, "interpolated")
            for word, (first, last) in zip(written, times, strict=True)
        ]

    def _as_whisperx(
        self, aligner: CtcAligner, emissions: NDArray[np.float32], text: str, span: Span, language: str
    ) -> list[Word] | None:
        dictionary = {label.lower(): at for label, at in aligner.model.vocabulary.items()}
        aligned = align_segment(emissions, text, dictionary, *span, spaces=language not in WITHOUT_SPACES)
        if aligned is None:
            return None
        times = [None if word.start is None or word.end is None else (word.start, word.end) for word in aligned]
        return [
            Word(word.text, first, last, word.score, "interpolated" if word.score is None else "aligned")
            for word, (first, last) in zip(aligned, interpolated(times, span[1]), strict=True)
        ]


def _detection(language: Language | None) -> dict[str, Any]:
    """Language fields of a transcript; empty for a language from the options, because nothing was detected.

    An English-only model sets the language without a probability.
    """
    if language is None or language.given:
        return {}
    return {"language": language.code, "language_probability": language.probability}


def _probability(language: Language) -> str:
    return "" if language.probability is None else f" with a probability of {language.probability:.2f}"
