"""Shift test: the share of frames with the same unit after some seconds of faint noise before the same speech.

The test concerns extractors with `window_frames`. Their frames may depend on their number in the window of the model.
`sample` extracts the first `SPEECH_SECONDS` of a few utterances alone and after each lead of noise, and stores the
frames of the speech. `cluster` compares their units, so it needs neither audio nor a model.

`sample` also stores the MFCC of the sampled frames in the first window of each utterance. `cluster` compares the PNMI
of units and position with that of MFCC units on the same frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid, num_samples
from speechprep.errors import BadInput
from speechprep.pipelines.backends import Extractor
from speechprep.registry import make
from speechprep.tokenizers.arrays.keyed_random import record_keys, unit_interval

LEADS = (0.0, 0.5, 3.0, 10.0)  # seconds of noise before the speech; 0 is the speech alone
NOISE_DBFS = -65.0
SPEECH_SECONDS = 5.0
UTTERANCES = 16  # expected number of utterances in the test

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


class Head:
    """Keeps the first `n` samples of passing audio."""

    def __init__(self, n: int) -> None:
        self._left = n
        self._pieces: list[F32] = []

    def through(self, blocks: Iterator[F32]) -> Iterator[F32]:
        """The same blocks."""
        for block in blocks:
            if self._left:
                self._pieces.append(block[: self._left].copy())
                self._left -= len(self._pieces[-1])
            yield block

    @property
    def samples(self) -> F32:
        """(n,) samples, fewer for shorter audio."""
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.float32)


def lead_frames(grid: FrameGrid, window_frames: int) -> list[int]:
    """Frames of each lead of noise; a lead over half of the window is left out."""
    frames = [round(seconds * grid.rate) for seconds in LEADS]
    return [n for n in frames if n <= window_frames // 2]


def is_tested(seed: int, id: str, rows: float) -> bool:
    """True for about `UTTERANCES` utterances of a corpus of so many rows, chosen by (seed, id)."""
    draw = unit_interval(record_keys(seed, "shift", [id]))[0]
    return bool(draw * rows < UTTERANCES)


def shifted_frames(extractor: Extractor, samples: F32, noise: np.random.Generator) -> list[F32]:
    """The frames of the speech (frames, dim) after each lead of `lead_frames`; empty for less than one frame.

    Args:
        extractor: with `window_frames`.
        samples: the audio, cut to `SPEECH_SECONDS` and to the room in the window.
        noise: generator of the noise; each lead is the end of the longest one.
    """
    grid = extractor.grid
    leads = lead_frames(grid, extractor.window_frames)
    room = min(round(SPEECH_SECONDS * grid.rate), extractor.window_frames - leads[-1])
    speech = samples[: room * grid.stride]
    n = grid.num_frames(len(speech))
    if not n:
        return []
    level = np.float32(10 ** (NOISE_DBFS / 20))
    faint = level * noise.standard_normal(leads[-1] * grid.stride).astype(np.float32)
    audio = [np.concatenate([faint[len(faint) - lead * grid.stride :], speech]) for lead in leads]
    return [extractor.extract([one])[0][lead : lead + n] for lead, one in zip(leads, audio, strict=True)]


def mfcc_at(samples: F32, sample_rate: int, seconds: NDArray[np.float64]) -> F32:
    """(n, 39) MFCC frames at these times; without rows for audio too short or of another rate than that of MFCC."""
    extractor = _mfcc()
    if sample_rate != extractor.sample_rate:
        return np.zeros((0, extractor.dim), np.float32)
    try:
        frames = extractor.extract([samples])[0]
    except BadInput:
        return np.zeros((0, extractor.dim), np.float32)
    return np.asarray(frames[np.minimum(extractor.grid.frames_at(seconds), len(frames) - 1)])


def head_samples(extractor: Extractor) -> int:
    """Samples of the first window of an utterance."""
    grid = extractor.grid
    return num_samples(grid.start(extractor.window_frames), grid.sample_rate)


@lru_cache(maxsize=1)
def _mfcc() -> Extractor:
    extractor: Extractor = make("extractors", "mfcc", {})
    extractor.load()
    return extractor


def kept_shares(units: list[list[NDArray[np.unsignedinteger]]], leads: list[float]) -> dict[str, float]:
    """Seconds of noise -> share of the frames with the same unit as without noise.

    Args:
        units: for each utterance, its units after each lead, the first without noise.
        leads: seconds of each lead.
    """
    frames = sum(len(of_utterance[0]) for of_utterance in units)
    return {
        f"{seconds:g}": sum(int((u[0] == u[number]).sum()) for u in units) / frames
        for number, seconds in enumerate(leads)
        if number and frames
    }


def by_seconds(kept: dict[str, float]) -> list[tuple[str, float]]:
    """(seconds of noise, share) in ascending order; JSON files have the keys in the order of text."""
    return sorted(kept.items(), key=lambda item: float(item[0]))


def position_lines(quality: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of the shift test and the PNMI with position in the facts of a codebook, for people."""
    lines = []
    kept = by_seconds(quality.get("shift", {}).get("kept", {}))
    if kept:
        shares = ", ".join(f"{100 * share:.1f} % after {seconds} s" for seconds, share in kept)
        lines.append(("units kept with faint noise before the same speech", shares))
    position = quality.get("position", {})
    if position:
        text = f"{position['pnmi']:.3f}, with MFCC units on the same frames {position['pnmi_mfcc']:.3f}"
        lines.append(("PNMI of units and position in the window", text))
    return lines
