"""Speech in frames by the voice activity detector of PocketSphinx, and the scores of DNSMOS.

The detector is that of WebRTC. DNSMOS (Reddy et al. 2022, arXiv 2110.01763) predicts the ratings of listeners by
ITU-T P.835 (speech, background, overall) and P.808 (overall), from 1 to 5. The package `speechmos` has its models.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import MissingBackend
from speechprep.pipelines.backends import Backend
from speechprep.tokenizers.quality.measures import Blocks, SignalToNoise

RATE = 16_000  # Hz of the detector and of DNSMOS
FRAME = 480  # samples of a frame of the detector: 30 ms
WINDOW = 144_160  # samples of a window of DNSMOS: 9.01 s
SHORTEST = RATE  # samples: a shorter rest after complete windows is left out
MODELS = ("sig_bak_ovr.onnx", "model_v8.onnx")
DNSMOS_SCORES = {"ovrl_mos": "overall", "sig_mos": "speech", "bak_mos": "background", "p808_mos": "p808"}

Samples = NDArray[np.float32]


class VoiceActivity:
    """Speech and power of frames of 30 ms.

    Args:
        mode: 0 to 3; higher modes call fewer frames speech.
    """

    def __init__(self, mode: int) -> None:
        from pocketsphinx import Vad

        self._detector = Vad(mode, RATE, FRAME / RATE)
        self._blocks = Blocks(FRAME)
        self.ratio = SignalToNoise()

    def add(self, samples: Samples) -> None:
        """Some more samples (n,) at `RATE`."""
        frames = self._blocks.add(samples)
        encoded = (np.clip(frames, -1, 1) * 32767).astype("<i2")
        speech = np.array([self._detector.is_speech(frame.tobytes()) for frame in encoded], np.bool_)
        self.ratio.add(np.mean(frames.astype(np.float64) ** 2, axis=1), speech)


class Dnsmos:
    """Mean scores of the windows of 9.01 s without overlap; shorter audio is repeated to one window."""

    def __init__(self) -> None:
        self._blocks = Blocks(WINDOW)
        self._scores: list[dict[str, float]] = []

    def add(self, samples: Samples) -> None:
        """Some more samples (n,) at `RATE`."""
        for window in self._blocks.add(samples):
            self._score(window)

    def _score(self, samples: Samples) -> None:
        from speechmos import dnsmos

        scores = dnsmos.run(np.clip(samples, -1, 1), sr=RATE)
        self._scores.append({name: float(scores[name]) for name in DNSMOS_SCORES})

    def scores(self) -> dict[str, float] | None:
        """Mean scores, each from 1 to 5; None without samples."""
        rest = self._blocks.rest()
        if len(rest) >= SHORTEST or (len(rest) and not self._scores):
            self._score(rest)
        if not self._scores:
            return None
        return {short: float(np.mean([s[name] for s in self._scores])) for name, short in DNSMOS_SCORES.items()}


class QualityBackend(Backend):
    """Decoding at the rate of each file, and the identity of the models of DNSMOS.

    Args:
        dnsmos: True to compute the scores of DNSMOS.
    """

    sample_rate = None

    def __init__(self, *, dnsmos: bool) -> None:
        self.dnsmos = dnsmos

    def identity(self) -> dict[str, Any]:
        """Hashes of the models; empty without DNSMOS.

        Raises:
            MissingBackend: the package `speechmos` is not installed.
        """
        if not self.dnsmos:
            return {}
        for package in ("speechmos", "onnxruntime", "librosa"):
            if find_spec(package) is None:
                raise MissingBackend.package("dnsmos=true", package, "quality")
        spec = find_spec("speechmos")
        folder = Path((spec.submodule_search_locations or [""])[0] if spec else "") / "dnsmos_models"
        return {"name": "dnsmos", "sha256": [hashlib.sha256((folder / m).read_bytes()).hexdigest() for m in MODELS]}
