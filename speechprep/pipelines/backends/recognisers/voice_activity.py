"""Voice activity detection, by Silero or by the pyannote model of WhisperX, in chunks of at most 30 s for Whisper."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import MissingBackend
from speechprep.pipelines.backends.base import require_packages

RATE = 16_000
CHUNK = 30  # seconds; the input length of Whisper
SILENCE_MS, PAD_MS = 100, 30  # Silero: shortest pause between two stretches; padding at both ends
OFFSET = 0.363  # pyannote: speech ends below this probability, as in WhisperX
DETECTORS = ("silero", "pyannote")

Samples = NDArray[np.float32]
Span = tuple[float, float]  # start and end in seconds


def silero(audio: Samples, onset: float) -> list[Span]:
    """Stretches of speech of at most `CHUNK` seconds, by the Silero model in the faster-whisper package.

    Args:
        audio: (n,) at 16 kHz.
        onset: lowest probability of speech.
    """
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError:
        raise MissingBackend.package("aligner 'whisperx'", "faster-whisper", "whisperx") from None
    options = VadOptions(
        threshold=onset,
        max_speech_duration_s=CHUNK,
        min_silence_duration_ms=SILENCE_MS,
        speech_pad_ms=PAD_MS,
    )
    return [(span["start"] / RATE, span["end"] / RATE) for span in get_speech_timestamps(audio, options)]


def merged(spans: Sequence[Span], longest: float = CHUNK) -> list[Span]:
    """Adjacent stretches merged into chunks of at most `longest` seconds, as in WhisperX.

    (Bain et al. 2023, "WhisperX", section 3: VAD Cut & Merge.)
    """
    chunks: list[Span] = []
    for start, end in spans:
        if chunks and end - chunks[-1][0] <= longest:
            chunks[-1] = (chunks[-1][0], end)
        else:
            chunks.append((start, end))
    return chunks


class SpeechDetector:
    """Detector of the chunks of speech in a recording.

    Args:
        name: "silero" or "pyannote".
        onset: lowest probability of speech.
        device: device of pyannote.
    """

    def __init__(self, name: str, onset: float, device: str) -> None:
        self.name = name
        self.onset = onset
        self.device = device
        self._pyannote: Any = None
        self._lock = Lock()

    def check(self, label: str) -> None:
        """Check the package of the detector; see `Backend.check`."""
        require_packages(label, {"faster_whisper" if self.name == "silero" else "whisperx": "whisperx"})

    def chunks(self, audio: Samples) -> list[Span]:
        """Start and end in seconds, in order, each of at most `CHUNK` seconds."""
        if self.name == "silero":
            return merged(silero(audio, self.onset))
        with self._lock:
            if self._pyannote is None:
                self._pyannote = _pyannote(self.onset, self.device)
            scores = self._pyannote({"waveform": self._pyannote.preprocess_audio(audio), "sample_rate": RATE})
            chunks = self._pyannote.merge_chunks(scores, CHUNK, onset=self.onset, offset=OFFSET)
        return [(float(chunk["start"]), float(chunk["end"])) for chunk in chunks]


def _pyannote(onset: float, device: str) -> Any:
    """The pyannote model in the WhisperX package. Its telemetry is switched off before the import."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        import torch
        from whisperx.vads import Pyannote
    except ImportError:
        raise MissingBackend.package("vad 'pyannote'", "whisperx", "whisperx") from None
    logging.getLogger("whisperx").setLevel(logging.WARNING)  # it would print its progress to the standard output
    return Pyannote(torch.device(device), token=None, vad_onset=onset, vad_offset=OFFSET, chunk_size=CHUNK)
