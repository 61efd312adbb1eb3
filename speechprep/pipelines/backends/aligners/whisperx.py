"""Aligner `whisperx`: speech without a transcript by Whisper, words timed by a CTC model, as WhisperX does it.

Speech is found by Silero, whose model comes with faster-whisper, or by the pyannote model that comes with WhisperX
(`vad`), which takes some thirty times as long. What is found is merged into chunks of at most 30 s, and Whisper hears
some of them at once. Models come from local folders (or by name, fetched once); with those, nothing asks the network.
Whisper is a folder in CTranslate2's format, as faster-whisper reads it, or a `.pt` of openai-whisper.

Words are timed in one of two ways (`mode`), which are not the same and not stand-ins for one another:

* "ctc", the default: the exact best CTC path, as aligner `ctc` has it. Scores are mean log-probabilities, at most 0;
  digits and symbols are timed by what is said for them.
* "whisperx": what `whisperx.align` 3.8 gives on the same emissions, to the last digit. Scores are its probabilities, 0
  to 1; a character that the model does not have is a wildcard.

A given transcript is aligned in the same mode, with the audio as its one segment. Long audio is transcribed in pieces
that end between two chunks, so what is held of it does not grow with its length.

Where no `language` is given it is heard in the first chunk of speech of each recording, with its probability; there is
an align model for one language, or one for each of several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Transcript, Word
from speechprep.pipelines.backends.aligners.ctc import CtcAligner
from speechprep.pipelines.backends.aligners.ctc_model import too_short
from speechprep.pipelines.backends.aligners.recogniser import recogniser
from speechprep.pipelines.backends.aligners.speech import CHUNK, DETECTORS, RATE, Span, SpeechDetector
from speechprep.pipelines.backends.aligners.stream import StreamAligner
from speechprep.pipelines.backends.aligners.timing import interpolated
from speechprep.pipelines.backends.aligners.whisper import Language
from speechprep.pipelines.backends.aligners.windows import Window
from speechprep.process import give_back
from speechprep.tokenizers.spoken import tokens
from speechprep.tokenizers.trellis import align_segment

VERSION = 2  # raise when the same input would give other words or times
BATCH = {"cpu": 2, "gpu": 8}  # chunks
PIECE = {"cpu": 120.0, "gpu": 300.0}  # seconds
EDGE = 1.0  # seconds at the end of a piece in which no chunk is believed to be whole
LEAST_SAMPLES = 400  # one frame of an align model
WITHOUT_SPACES = ("ja", "zh")
ENGLISH = "WAV2VEC2_ASR_BASE_960H"
ANY = "*"  # an align model for whatever language

Samples = NDArray[np.float32]


class WhisperxAligner(StreamAligner):
    """Recognition and alignment with the models of WhisperX.

    Args:
        whisper: folder of a Whisper model in CTranslate2's format, a name that faster-whisper knows ("small"), or a
            `.pt` of openai-whisper.
        align_model: as `model` of aligner `ctc`, for whatever language there is; or language -> model, and speech in
            others is rejected.
        language: of the speech; None: heard in each recording.
        mode: how words are timed, "ctc" or "whisperx".
        vad: what finds speech, "silero" or "pyannote".
        vad_onset: probability from which it is speech.
        batch_size: chunks that Whisper hears together; they are of one recording. By default 8 on a GPU and 2 on a
            CPU, where more save little time and each takes 45 MB of a model of the base size. The words are the same.
        beam_size: of Whisper's search.
        compute_type: precision of Whisper: "float32", "int8" (not of a `.pt`), on a GPU "float16".
        device: "cpu" or "cuda".
        threads: of the models on a CPU, in each worker process; more workers gain more, but not on one recording.
        piece: seconds of long audio that are worked off at once: by default 300 on a GPU, and 120 on a CPU, where
            speech is found in 60 MB for 120 s.
        folder: where the weights of a torchaudio align model are.
    """

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
        """Name, versions, digests of the models and every parameter."""
        return {
            "name": "whisperx",
            "version": VERSION,
            **self._whisper.identity(),
            "sample_rate": self.sample_rate,
            **self._options,
            "align": {code: aligner.identity() for code, aligner in self._aligners.items()},
        }

    def load(self) -> None:
        """See that Whisper's files are there, and read an only align model; all else is read when first needed."""
        self._whisper.files()
        if len(self._aligners) == 1:
            self._load(*self._aligners)

    def _load(self, code: str) -> CtcAligner:
        with self._loading:
            if code not in self._ready:
                self._aligners[code].load()
                self._ready.add(code)
        return self._aligners[code]

    def _aligner(self, language: Language) -> CtcAligner:
        """The one for a language.

        Raises:
            BadInput: `no_align_model`.
        """
        code = language.code if language.code in self._aligners else ANY
        if code not in self._aligners:
            raise BadInput(
                "no_align_model",
                f"the speech is heard as {language.code!r}{_surely(language)}, align_model is for "
                f"{', '.join(self._aligners)}: add one for it, or give the language",
            )
        return self._load(code)

    # -- with a transcript ---------------------------------------------------------------------------------------------

    def _timed(self, stream: Window, text: str) -> Transcript:
        known = self._given() or self._heard(stream)
        aligner = self._aligner(known)
        if self._options["mode"] == "ctc":
            made = aligner.timed(stream, text, known.code)
            return replace(made, **_language(known))
        parts = list(aligner.model.stream(stream, aligner.window, aligner.overlap))
        n_samples = stream.skip()
        if not parts:
            raise too_short(n_samples)
        plain = " ".join(tokens(text))
        words = self._as_whisperx(aligner, np.concatenate(parts), plain, (0.0, n_samples / RATE), known.code)
        if words is None:
            raise BadInput("align_failed", "no way to fit the transcript into the audio: does it belong to it?")
        return Transcript(plain, words, **_language(known))

    def _given(self) -> Language | None:
        code = self._options["language"]
        return None if code is None else Language(code, None)

    def _heard(self, stream: Window) -> Language:
        """The language of the first chunk of speech in the first piece, or of its start where there is none."""
        audio = stream.fill(self._piece())
        if len(audio) < LEAST_SAMPLES:
            raise too_short(len(audio))
        start, end = next(iter(self._detector.chunks(audio)), (0.0, float(CHUNK)))
        return self._whisper.language(audio[int(start * RATE) : int(end * RATE)])

    # -- without -------------------------------------------------------------------------------------------------------

    def _recognise(self, stream: Window) -> Transcript:
        """Piece by piece; a piece ends before the first chunk that reaches its edge."""
        words: list[Word] = []
        known = self._given()
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
                texts, known = self._whisper.texts(sounds, known)
                for chunk, text in zip(whole, texts, strict=True):
                    timed = self._chunk(audio, chunk, text, known)
                    words += [replace(word, start=word.start + base, end=word.end + base) for word in timed]
            cut = limit if len(whole) == len(chunks) else chunks[len(whole)][0]
            stream.advance(len(audio) if last else round(cut * RATE))
        return Transcript(" ".join(word.text for word in words), words, **_language(known))

    def _piece(self) -> int:
        return round(float(self._options["piece"]) * RATE)

    def _chunk(self, audio: Samples, chunk: Span, text: str, language: Language) -> list[Word]:
        """The words of a chunk in seconds of the piece; they divide it evenly where they cannot be aligned."""
        aligner = self._aligner(language)
        start, end = round(chunk[0], 3), round(chunk[1], 3)  # as WhisperX hands them on
        samples = audio[int(start * RATE) : int(end * RATE)]
        words: list[Word] | None = None
        if self._options["mode"] == "whisperx":
            if len(samples) >= LEAST_SAMPLES:
                emissions = aligner.model.emissions(samples)
                words = self._as_whisperx(aligner, emissions, text, (start, end), language.code)
        elif tokens(text):
            try:
                found = aligner.timed(Window(iter([samples])), text, language.code).words
                words = [replace(word, start=word.start + start, end=word.end + start) for word in found]
            except BadInput:
                words = None  # what Whisper made up need not fit; it keeps a place, and no score
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
        found = align_segment(emissions, text, dictionary, *span, spaces=language not in WITHOUT_SPACES)
        if found is None:
            return None
        times = [None if word.start is None or word.end is None else (word.start, word.end) for word in found]
        return [
            Word(word.text, first, last, word.score, "interpolated" if word.score is None else "aligned")
            for word, (first, last) in zip(found, interpolated(times, span[1]), strict=True)
        ]


def _language(known: Language | None) -> dict[str, Any]:
    """What a transcript says of it: nothing where it was given, for then nothing was heard."""
    if known is None or known.probability is None:
        return {}
    return {"language": known.code, "language_probability": known.probability}


def _surely(language: Language) -> str:
    return "" if language.probability is None else f" with a probability of {language.probability:.2f}"
