"""Aligner `whisperx`: speech without a transcript by WhisperX (VAD, batched Whisper), words timed by a CTC model.

Models come from local folders (or by name, fetched once); with those, nothing asks the network: pyannote's telemetry
is switched off before it is imported, no sentence splitter is downloaded, no ffmpeg is called. Speech is found by
Silero, whose model comes with faster-whisper, or by the pyannote model that comes with WhisperX (`vad`), which takes
some thirty times as long. Whisper is a folder in CTranslate2's format, as faster-whisper reads it.

Words are timed in one of two ways (`mode`), which are not the same and not stand-ins for one another:

* "ctc", the default: the exact best CTC path, as aligner `ctc` has it. Scores are mean log-probabilities, at most 0;
  digits and symbols are timed by what is said for them.
* "whisperx": what `whisperx.align` 3.8 gives on the same emissions, to the last digit. Scores are its probabilities, 0
  to 1; a character that the model does not have is a wildcard.

A given transcript is aligned in the same mode, with the audio as its one segment. Long audio is transcribed in pieces
that end between two segments, so what is held of it does not grow with its length.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import BadInput, ConfigError, MissingBackend
from speechprep.pipelines.backends import Transcript, Word
from speechprep.pipelines.backends.aligners.ctc import CtcAligner
from speechprep.pipelines.backends.aligners.ctc_model import RATE, too_short
from speechprep.pipelines.backends.aligners.timing import interpolated
from speechprep.pipelines.backends.aligners.windows import Window
from speechprep.pipelines.backends.model_files import digest_of, require
from speechprep.tokenizers.spoken import tokens
from speechprep.tokenizers.trellis import align_segment

VERSION = 1  # raise when the same input would give other words or times
CHUNK = 30  # seconds that Whisper hears at once
EDGE = 1.0  # seconds at the end of a piece in which no segment is believed to be whole
WITHOUT_SPACES = ("ja", "zh")
VAD_SILENCE_MS, VAD_PAD_MS = 100, 30

Samples = NDArray[np.float32]


class WhisperxAligner:
    """Recognition and alignment with the models of WhisperX.

    Args:
        whisper: folder of a Whisper model in CTranslate2's format, or a name that faster-whisper knows ("small").
        align_model: as `model` of aligner `ctc`.
        language: of the speech; the align model must be made for it.
        mode: how words are timed, "ctc" or "whisperx".
        vad: what finds speech, "silero" or "pyannote".
        vad_onset: probability from which it is speech.
        batch_size: segments that Whisper hears together; they are of one recording.
        beam_size: of Whisper's search.
        compute_type: of CTranslate2: "float32", "int8", on a GPU "float16".
        device: "cpu" or "cuda".
        threads: of Whisper on a CPU, in each worker process.
        piece: seconds of long audio that are worked off at once.
        folder: where the weights of a torchaudio align model are.
    """

    sample_rate = RATE

    def __init__(
        self,
        whisper: str,
        align_model: str = "WAV2VEC2_ASR_BASE_960H",
        language: str = "en",
        mode: Literal["ctc", "whisperx"] = "ctc",
        vad: Literal["silero", "pyannote"] = "silero",
        vad_onset: float = 0.5,
        batch_size: int = 8,
        beam_size: int = 5,
        compute_type: str = "float32",
        device: str = "cpu",
        threads: int = 1,
        piece: float = 300.0,
        folder: str | None = None,
    ) -> None:
        if mode not in ("ctc", "whisperx") or vad not in ("silero", "pyannote"):
            raise ConfigError(f"whisperx: mode = {mode!r}, vad = {vad!r}; choose ctc or whisperx, silero or pyannote")
        if not (0 < vad_onset < 1 and batch_size >= 1 and beam_size >= 1 and piece >= 3 * CHUNK):
            raise ConfigError(
                f"whisperx: vad_onset = {vad_onset!r}, batch_size = {batch_size!r}, beam_size = {beam_size!r}, piece = "
                f"{piece!r}; choose one between 0 and 1, at least 1, at least 1, and at least {3 * CHUNK} seconds"
            )
        self._whisper = str(whisper)
        self._options: dict[str, Any] = {
            "language": language, "mode": mode, "vad": vad, "vad_onset": vad_onset, "batch_size": batch_size,
            "beam_size": beam_size, "compute_type": compute_type, "device": device, "piece": float(piece),
        }  # fmt: skip
        self._threads = threads
        self._ctc = CtcAligner(align_model, language=language, device=device, folder=folder)
        self._pipeline: Any = None

    def identity(self) -> dict[str, Any]:
        """Name, versions, digests of the models and every parameter."""
        files = self._files()
        return {
            "name": "whisperx",
            "version": VERSION,
            "packages": {name: _version(name) for name in ("whisperx", "faster-whisper", "ctranslate2")},
            "whisper": files[0].parent.name,
            "whisper_sha256": digest_of(files),
            "sample_rate": self.sample_rate,
            **self._options,
            "align": self._ctc.identity(),
        }

    def load(self) -> None:
        """Read the align model and see that Whisper's files are there; they and the VAD are read when first needed."""
        self._files()
        self._ctc.load()

    def align(self, audio: Samples, text: str | None) -> Transcript:
        """Times for every token of `text`, or of what is recognised where it is None.

        Args:
            audio: (n,) float32 in [-1, 1] at 16 kHz.
            text: the transcript; its tokens are what stands between white space.

        Raises:
            BadInput: `no_alignable_text`, `audio_too_short`, `text_too_long`, `align_failed`.
        """
        return self.align_stream(iter([audio]), text)

    def align_stream(self, blocks: Iterator[Samples], text: str | None) -> Transcript:
        """`align` for audio that arrives in blocks; what is held of the audio does not grow with its length."""
        if text is None:
            return self._recognise(Window(blocks))
        if self._options["mode"] == "ctc" or not tokens(text):
            return self._ctc.align_stream(blocks, text)
        stream = Window(blocks)
        parts = list(self._ctc.model.stream(stream, self._ctc.window, self._ctc.overlap))
        n_samples = stream.skip()
        if not parts:
            raise too_short(n_samples)
        plain = " ".join(tokens(text))
        words = self._as_whisperx(np.concatenate(parts), plain, 0.0, n_samples / RATE)
        if words is None:
            raise BadInput("align_failed", "no way to fit the transcript into the audio: does it belong to it?")
        return Transcript(plain, words)

    # -- recognition ---------------------------------------------------------------------------------------------------

    def _recognise(self, stream: Window) -> Transcript:
        """Piece by piece; a piece ends before the first segment that reaches its edge."""
        size = round(self._options["piece"] * RATE)
        words: list[Word] = []
        last = False
        while not last:
            audio = stream.fill(size)
            last = stream.is_last(size)
            base = stream.start / RATE
            if not stream.start and len(audio) < self._ctc.model.field:
                raise too_short(len(audio))
            segments = self._transcribe(audio)
            limit = len(audio) / RATE - (0.0 if last else EDGE)
            whole = [segment for segment in segments if last or segment["end"] <= limit]
            for segment in whole:
                timed = self._timed(audio, segment)
                words += [replace(word, start=word.start + base, end=word.end + base) for word in timed]
            cut = limit if len(whole) == len(segments) else segments[len(whole)]["start"]
            stream.advance(len(audio) if last else round(cut * RATE))
        return Transcript(" ".join(word.text for word in words), words)

    def _transcribe(self, audio: Samples) -> list[dict[str, Any]]:
        """WhisperX's segments: start, end (seconds of the piece), text."""
        if self._pipeline is None:
            self._pipeline = self._load_pipeline()
        found = self._pipeline.transcribe(audio, batch_size=self._options["batch_size"], chunk_size=CHUNK)
        segments: list[dict[str, Any]] = found["segments"]
        return segments

    def _timed(self, audio: Samples, segment: dict[str, Any]) -> list[Word]:
        """The words of a segment in seconds of the piece; they divide it evenly where they cannot be aligned."""
        start, end, text = float(segment["start"]), float(segment["end"]), segment["text"]
        samples = audio[int(start * RATE) : int(end * RATE)]
        words: list[Word] | None = None
        if self._options["mode"] == "whisperx":
            if len(samples) >= self._ctc.model.field:
                words = self._as_whisperx(self._ctc.model.emissions(samples), text, start, end)
        else:
            try:
                aligned = self._ctc.align(samples, text).words
                words = [replace(word, start=word.start + start, end=word.end + start) for word in aligned]
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

    def _as_whisperx(self, emissions: NDArray[np.float32], text: str, start: float, end: float) -> list[Word] | None:
        dictionary = {label.lower(): at for label, at in self._ctc.model.vocabulary.items()}
        spaces = self._options["language"] not in WITHOUT_SPACES
        found = align_segment(emissions, text, dictionary, start, end, spaces=spaces)
        if found is None:
            return None
        times = [None if word.start is None or word.end is None else (word.start, word.end) for word in found]
        return [
            Word(word.text, first, last, word.score, "interpolated" if word.score is None else "aligned")
            for word, (first, last) in zip(found, interpolated(times, end), strict=True)
        ]

    def _files(self) -> list[Path]:
        """Of Whisper. Without its tokenizer and its features' settings the library would ask the network for them."""
        names = ("model.bin", "config.json", "tokenizer.json", "preprocessor_config.json")
        return require(self._folder(), *((name,) for name in names))

    def _folder(self) -> Path:
        """Of Whisper; fetched where it is a name and not here yet."""
        folder = Path(self._whisper).expanduser()
        if folder.is_dir():
            return folder
        if find_spec("faster_whisper") is None:
            raise MissingBackend.package("aligner 'whisperx'", "whisperx", "whisperx")
        from faster_whisper.utils import download_model

        try:
            return Path(download_model(self._whisper))
        except (OSError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            raise MissingBackend(
                f"the Whisper model {self._whisper!r} is no folder and could not be fetched ({reason}); give the path "
                "of a folder in CTranslate2's format"
            ) from None

    def _load_pipeline(self) -> Any:
        os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # read when pyannote is imported
        try:
            import whisperx
        except ImportError:
            raise MissingBackend.package("aligner 'whisperx'", "whisperx", "whisperx") from None
        options = self._options
        with redirect_stdout(StringIO()):  # it tells of the detector that it was given
            return whisperx.load_model(
                str(self._folder()),
                device=options["device"],
                compute_type=options["compute_type"],
                language=options["language"],
                asr_options={"beam_size": options["beam_size"]},
                vad_model=silero(options["vad_onset"]) if options["vad"] == "silero" else None,
                vad_options={"vad_onset": options["vad_onset"]},
                threads=self._threads,
            )


def silero(onset: float) -> Any:
    """A voice activity detector for WhisperX: the Silero model that comes with faster-whisper."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps
    from whisperx.diarize import Segment
    from whisperx.vads import Vad

    class Silero(Vad):  # type: ignore[misc]
        @staticmethod
        def preprocess_audio(audio: Samples) -> Samples:
            return audio

        def __call__(self, audio: dict[str, Any], **_: Any) -> list[Any]:
            options = VadOptions(
                threshold=onset,
                max_speech_duration_s=CHUNK,
                min_silence_duration_ms=VAD_SILENCE_MS,
                speech_pad_ms=VAD_PAD_MS,
            )
            found = get_speech_timestamps(audio["waveform"], options)
            return [Segment(speech["start"] / RATE, speech["end"] / RATE, "UNKNOWN") for speech in found]

        @staticmethod
        def merge_chunks(segments: list[Any], chunk_size: int, onset: float = 0.5, offset: float | None = None) -> Any:
            return Vad.merge_chunks(segments, chunk_size, onset, offset) if segments else []

    return Silero(onset)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise MissingBackend.package("aligner 'whisperx'", package, "whisperx") from None
