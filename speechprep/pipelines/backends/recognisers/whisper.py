"""Recogniser `whisper`: Whisper in any form, over the speech of recordings of any length.

Speech is detected by Silero, shipped with faster-whisper, or by the pyannote model shipped with WhisperX (`vad`), about
thirty times slower. Speech is merged into chunks of at most 30 s, and Whisper recognises several chunks at once (Bain
et al. 2023, "WhisperX", section 3). A Whisper model is a folder in the format of CTranslate2 (faster-whisper), a `.pt`
of openai-whisper, or a transformers folder. Models are local, or names to download once; local ones need no network.

Long audio is recognised in pieces with borders between two chunks, so memory does not grow with its length, and no word
is cut at the border of a piece.

Without `language`, Whisper detects the language and its probability in the first chunk of speech of each recording. An
English-only Whisper sets the language to "en", without a probability.

Whisper invents words in noise. A chunk is dropped if its text fails Whisper's own test: the probability of "no speech"
is above `max_no_speech` and the mean log-probability of the tokens below `min_log_probability`. The values of all
other chunks become scores of `words`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Language, Passage, Recogniser
from speechprep.pipelines.backends.base import check_device
from speechprep.pipelines.backends.recognisers.choose import whisper_model
from speechprep.pipelines.backends.recognisers.voice_activity import CHUNK, DETECTORS, RATE, Span, SpeechDetector
from speechprep.pipelines.backends.recognisers.whisper_model import (
    MIN_LOG_PROBABILITY,
    NO_SPEECH,
    Decoded,
    Decoding,
    check_length,
)
from speechprep.pipelines.backends.sliding_window import SlidingWindow
from speechprep.pipelines.backends.whisper.forms import form_of
from speechprep.process import give_back

VERSION = 1  # raise it if the same input gives other words
BATCH = {"cpu": 2, "gpu": 8}  # chunks
PIECE = {"cpu": 120.0, "gpu": 300.0}  # seconds
EDGE = 1.0  # seconds at the end of a piece; a chunk that ends there may be incomplete
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MARGIN = 0.25  # seconds of the pauses around a chunk, for the aligner

Samples = NDArray[np.float32]


class WhisperRecogniser(Recogniser):
    """Recognition by Whisper.

    Args:
        model: folder of a Whisper model in the format of CTranslate2, a name of faster-whisper ("small"), a `.pt` of
            openai-whisper, or a transformers folder.
        language: language of the speech; None: detected in each recording.
        vad: speech detector, "silero" or "pyannote".
        vad_onset: lowest probability of speech.
        batch_size: chunks of one recording in one batch of Whisper. Default: 8 on a GPU and 2 on a CPU, because more
            save little time there and each takes 45 MB with a model of the base size. The words do not depend on it.
        beam_size: beam of the search in Whisper.
        temperatures: temperatures of the fallback, in ascending order from 0: a text that fails the limits of Whisper
            is sampled again at the next one. Default: those of Whisper; [0]: no fallback.
        condition_on_previous_text: the text of a chunk is the prompt for the next one, which takes longer.
        max_no_speech, min_log_probability: a chunk beyond both limits is dropped.
        compute_type: precision of Whisper: "float32", "int8" (not for a `.pt`), on a GPU "float16".
        device: "cpu" or "cuda".
        threads: threads of the model on a CPU in each worker process. More workers are more efficient, except for a
            single recording.
        piece: seconds of long audio in one piece. Default: 300 on a GPU; 120 on a CPU, where the speech detector takes
            60 MB for 120 s.
    """

    name = "whisper"
    packages: ClassVar[Mapping[str, str]] = {"faster_whisper": "whisperx"}
    sample_rate = RATE
    thread_safe = True  # one thread at a time recognises, or runs pyannote

    def __init__(
        self,
        model: str,
        language: str | None = None,
        vad: Literal["silero", "pyannote"] = "silero",
        vad_onset: float = 0.5,
        batch_size: int | None = None,
        beam_size: int = 5,
        temperatures: Sequence[float] = TEMPERATURES,
        condition_on_previous_text: bool = False,  # noqa: FBT001, FBT002 - a value of a recipe
        max_no_speech: float = NO_SPEECH,
        min_log_probability: float = MIN_LOG_PROBABILITY,
        compute_type: str = "float32",
        device: str = "cpu",
        threads: int = 1,
        piece: float | None = None,
    ) -> None:
        kind = "cpu" if device == "cpu" else "gpu"
        batch_size = BATCH[kind] if batch_size is None else batch_size
        self.piece = float(PIECE[kind] if piece is None else piece)
        if vad not in DETECTORS:
            raise ConfigError(f"whisper: vad = {vad!r}; choose silero or pyannote")
        if not (0 < vad_onset < 1 and batch_size >= 1 and beam_size >= 1 and threads >= 1 and self.piece >= 3 * CHUNK):
            raise ConfigError(
                f"whisper: vad_onset = {vad_onset!r}, batch_size = {batch_size!r}, beam_size = {beam_size!r}, "
                f"threads = {threads!r}, piece = {piece!r}; choose one between 0 and 1, three of at least 1, and at "
                f"least {3 * CHUNK} seconds"
            )
        steps = tuple(float(value) for value in temperatures)
        if not steps or steps[0] != 0 or sorted(set(steps)) != list(steps) or steps[-1] > 1:
            raise ConfigError(
                f"whisper: temperatures = {list(temperatures)!r}; choose ascending numbers from 0 to 1, the first one "
                "0, for example [0, 0.2, 0.4, 0.6, 0.8, 1]"
            )
        self._language = language
        self._limits = float(max_no_speech), float(min_log_probability)
        self._decoding = Decoding(beam_size, steps, bool(condition_on_previous_text))
        self._device = device
        self.model = whisper_model(str(model), device, compute_type, self._decoding, batch_size, threads)
        self.detector = SpeechDetector(vad, vad_onset, device)
        self._options: dict[str, Any] = {
            "language": language, "vad": vad, "vad_onset": vad_onset, "batch_size": batch_size,
            "beam_size": beam_size, "compute_type": compute_type, "device": device, "piece": self.piece,
        }  # fmt: skip
        self._dropping = {
            "temperatures": list(steps), "condition_on_previous_text": self._decoding.condition_on_previous_text,
            "max_no_speech": self._limits[0], "min_log_probability": self._limits[1],
        }  # fmt: skip

    def identity(self) -> dict[str, Any]:
        """Name, versions, sha256 of the model and every parameter."""
        return {
            "name": "whisper",
            "version": VERSION,
            **self.model.identity(),
            "sample_rate": self.sample_rate,
            **self._options,
            **self._dropping,
        }

    def check(self) -> None:
        """Check packages, device name, precision and model files, without torch and without a download.

        Raises:
            MissingBackend: a package or a file of the model is absent.
            ConfigError: an unknown precision, device name or language.
        """
        super().check()
        check_device(self.label, self._device, auto=False)
        self.model.check(self.label)
        self.detector.check(self.label)
        if form_of(Path(self.model.name).expanduser()) != "openai":  # torch reads a .pt, in `load`
            self._check_language()

    def load(self) -> None:
        """Check the files; the model is read on first use."""
        self.model.files()
        self._check_language()

    def _check_language(self) -> None:
        if self._language is not None:
            self.model.check_language(self.label, self._language)

    def language(self, audio: Samples) -> Language:
        """The language of the first chunk of speech; without speech, of the first 30 s.

        Raises:
            BadInput: `audio_too_short`.
        """
        if (given := self._given()) is not None:
            return given
        check_length(audio)
        start, end = next(iter(self.detector.chunks(audio)), (0.0, float(CHUNK)))
        return self.model.language(audio[int(start * RATE) : int(end * RATE)])

    def _given(self) -> Language | None:
        return None if self._language is None else Language(self._language, None, given=True)

    def passages(self, blocks: Iterable[Samples]) -> Iterator[Passage]:
        """The recognised chunks, piece by piece; a piece ends before the first chunk at its edge."""
        stream = SlidingWindow(iter(blocks))
        size = round(self.piece * RATE)
        language = self._given()
        previous = ""
        last = False
        while not last:
            audio = stream.fill(size)
            last = stream.is_last(size)
            if not stream.start:
                check_length(audio)
            chunks = self.detector.chunks(audio)
            give_back()
            limit = len(audio) / RATE - (0.0 if last else EDGE)
            whole = [chunk for chunk in chunks if last or chunk[1] <= limit]
            edges = _edges(chunks, len(audio) / RATE)
            if whole:
                sounds = [audio[int(start * RATE) : int(end * RATE)] for start, end in whole]
                results, language = self.model.texts(sounds, language, previous)
                previous = results[-1].prompt
                for chunk, edge, result in zip(whole, edges, results, strict=False):
                    if not result.is_silence(*self._limits):
                        yield _passage(audio, stream.start, chunk, edge, result, language)
            cut = limit if len(whole) == len(chunks) else edges[len(whole)][0]
            stream.advance(len(audio) if last else round(cut * RATE))


def _edges(chunks: Sequence[Span], seconds: float) -> list[Span]:
    """Start and end of each chunk with up to `MARGIN` of the pause on both sides, at most half of a pause."""
    if not chunks:
        return []
    margins = [max(min(MARGIN, (after[0] - before[1]) / 2), 0.0) for before, after in pairwise(chunks)]
    left = [min(MARGIN, chunks[0][0]), *margins]
    right = [*margins, min(MARGIN, seconds - chunks[-1][1])]
    return [(start - a, end + b) for (start, end), a, b in zip(chunks, left, right, strict=True)]


def _passage(audio: Samples, first: int, chunk: Span, edge: Span, result: Decoded, language: Language) -> Passage:
    """The passage of a chunk of a piece; `first`: first sample of the piece in the recording.

    Times have milliseconds, as in WhisperX.
    """
    start, end = (round(first / RATE + seconds, 3) for seconds in chunk)
    samples = audio[max(int(start * RATE) - first, 0) : int(end * RATE) - first]
    left, right = (round(seconds * RATE) for seconds in edge)
    scores = result.no_speech_probability, result.log_probability
    margin = start - (first + left) / RATE
    return Passage(start, end, samples, result.text, language, *scores, margin, audio[left:right])
