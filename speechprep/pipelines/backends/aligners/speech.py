"""Where there is speech in a recording, in chunks that Whisper can hear: by Silero, or by WhisperX's pyannote."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import MissingBackend

RATE = 16_000
CHUNK = 30  # seconds that Whisper hears at once
SILENCE_MS, PAD_MS = 100, 30  # Silero: a shorter pause does not end speech; added at both ends
OFFSET = 0.363  # pyannote: probability below which speech ends, as WhisperX has it
DETECTORS = ("silero", "pyannote")

Samples = NDArray[np.float32]
Span = tuple[float, float]  # start and end in seconds


def silero(audio: Samples, onset: float) -> list[Span]:
    """Stretches of speech of at most `CHUNK` seconds, by the Silero model that comes with faster-whisper.

    Args:
        audio: (n,) at 16 kHz. onset: probability from which it is speech.
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
    return [(found["start"] / RATE, found["end"] / RATE) for found in get_speech_timestamps(audio, options)]


def merged(spans: Sequence[Span], longest: float = CHUNK) -> list[Span]:
    """Neighbouring stretches in one chunk as long as it stays below `longest` seconds, as WhisperX merges them.

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
    """The chunks of speech of a recording.

    Args:
        name: "silero" or "pyannote". onset: probability from which it is speech. device: of pyannote.
    """

    def __init__(self, name: str, onset: float, device: str) -> None:
        self.name = name
        self.onset = onset
        self.device = device
        self._pyannote: Any = None
        self._lock = Lock()

    def chunks(self, audio: Samples) -> list[Span]:
        """Start and end in seconds, in order, each of at most `CHUNK` seconds."""
        if self.name == "silero":
            return merged(silero(audio, self.onset))
        with self._lock:
            if self._pyannote is None:
                self._pyannote = _pyannote(self.onset, self.device)
            scores = self._pyannote({"waveform": self._pyannote.preprocess_audio(audio), "sample_rate": RATE})
            found = self._pyannote.merge_chunks(scores, CHUNK, onset=self.onset, offset=OFFSET)
        return [(float(chunk["start"]), float(chunk["end"])) for chunk in found]


def _pyannote(onset: float, device: str) -> Any:
    """The model that comes with WhisperX. Its telemetry is switched off before it is imported."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        import torch
        from whisperx.vads import Pyannote
    except ImportError:
        raise MissingBackend.package("vad 'pyannote'", "whisperx", "whisperx") from None
    logging.getLogger("whisperx").setLevel(logging.WARNING)  # or it says on the standard output what it does
    return Pyannote(torch.device(device), token=None, vad_onset=onset, vad_offset=OFFSET, chunk_size=CHUNK)
