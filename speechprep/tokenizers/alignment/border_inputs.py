"""Inputs of the boundary refiner: spectrum around a word border, and its kind.

The spectrum is log-mel: 20 bands from 60 to 7,600 Hz, frames of 16 ms every 5 ms, frame k centred on 5 k ms. Each band
is relative to its 95 % quantile in the piece of audio, so the level and the channel do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.alignment.boundary_offsets import CLASSES, PAUSE, SILENCE, VOWELS, TimedWord, kinds

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

RATE = 16_000
STRIDE = 80  # samples from frame to frame
STEP = STRIDE / RATE  # seconds
WINDOW, FFT = 256, 512  # samples
BANDS, LOWEST, HIGHEST = 20, 60.0, 7600.0  # Hz
LOUD = 95  # percentile of each band
FLOOR = 12.0  # nats below it
SCALE = 0.25  # of the spectrum at the input of the network
REACH = 20  # frames: candidates are within 100 ms of the border
MARGIN = 20  # frames of spectrum on both sides of a candidate
BLOCK = 4096  # frames in one transform

_CLASS_NAMES = [*CLASSES, "vowel", SILENCE]
_PHONE_NAMES = sorted(" ".join([*CLASSES.values(), VOWELS]).split())
FACTS = 2 * len(_CLASS_NAMES) + 5 + 2 * len(_PHONE_NAMES)


class BorderInput(NamedTuple):
    """A border of a word.

    Attributes:
        time: seconds, as aligned.
        grid: frame nearest to it; the candidates are the frames around it.
        kind: as in `boundary_offsets`.
        strip: (2 REACH + 2 MARGIN + 1, BANDS) spectrum around the border; the audio is continued by its first and last
            frame.
        facts: (FACTS,) classes and phones on both sides, side, pause, length of the word, level spread.
    """

    time: float
    grid: int
    kind: str
    strip: F32
    facts: F32


def spectrum(audio: NDArray[np.floating]) -> F32:
    """(1 + n // STRIDE, BANDS) relative log-mel spectrum of audio (n,) at 16 kHz."""
    samples = np.asarray(audio, np.float32)
    emphasised = np.pad(np.concatenate((samples[:1], samples[1:] - np.float32(0.9) * samples[:-1])), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, WINDOW)[::STRIDE]
    taper, bank = np.hanning(WINDOW).astype(np.float32), _mel_bank()
    blocks = [
        np.log(np.square(np.abs(np.fft.rfft(frames[at : at + BLOCK] * taper, FFT))) @ bank + 1e-8)
        for at in range(0, len(frames), BLOCK)
    ]
    levels = np.concatenate(blocks)
    levels -= np.percentile(levels, LOUD, axis=0)
    return np.asarray(np.maximum(levels, -FLOOR) * SCALE, np.float32)


def _mel_bank() -> F64:
    """(FFT // 2 + 1, BANDS) triangles, evenly spaced on the mel scale 2595 log10(1 + f / 700) (O'Shaughnessy 1987)."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (LOWEST, HIGHEST))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    bins = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    rising, falling = (bins - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling))


def border_inputs(audio: NDArray[np.floating], words: Sequence[TimedWord]) -> list[tuple[BorderInput, BorderInput]]:
    """Onset and offset of each word.

    Args:
        audio: (n,) at 16 kHz.
        words: aligned words within the audio, in order; times in seconds from its start.
    """
    levels = spectrum(audio)
    mean = levels.mean(1)
    spread = float(np.percentile(mean, 95) - np.percentile(mean, 10))
    padded = np.pad(levels, ((REACH + MARGIN,) * 2, (0, 0)), mode="edge")
    duration = len(audio) / RATE
    result = []
    for number, (word, names) in enumerate(zip(words, kinds(words), strict=True)):
        before = words[number - 1] if number else None
        after = words[number + 1] if number + 1 < len(words) else None
        gaps = (word.start - (before.end if before else 0.0), (after.start if after else duration) - word.end)
        pair = []
        for side, (kind, time) in enumerate(zip(names, (word.start, word.end), strict=True)):
            left, right = kind.split()[1:]
            grid = min(max(round(time / STEP), 0), len(levels) - 1)
            outer = [neighbour.phones if neighbour else () for neighbour in (before, after)]
            sounds = (word.phones, outer[1]) if side else (outer[0], word.phones)
            facts: list[F64] = [
                _one_hot(_CLASS_NAMES, left),
                _one_hot(_CLASS_NAMES, right),
                np.array([side, gaps[side] > PAUSE, 2 * min(gaps[side], 0.5), min(word.end - word.start, 0.6), spread]),
                _one_hot(_PHONE_NAMES, "" if left == SILENCE else sounds[0][-1].rstrip("012")),
                _one_hot(_PHONE_NAMES, "" if right == SILENCE else sounds[1][0].rstrip("012")),
            ]
            strip = padded[grid : grid + 2 * (REACH + MARGIN) + 1]
            pair.append(BorderInput(time, grid, kind, strip, np.concatenate(facts).astype(np.float32)))
        result.append((pair[0], pair[1]))
    return result


def _one_hot(names: Sequence[str], name: str) -> F64:
    return np.array([name == other for other in names], np.float64)


def stacked(borders: Sequence[BorderInput]) -> tuple[F32, F32]:
    """Strips (n, frames, BANDS) and facts (n, FACTS) of borders."""
    return np.stack([border.strip for border in borders]), np.stack([border.facts for border in borders])
