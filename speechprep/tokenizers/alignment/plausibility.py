"""Plausibility of word times, judged by the loudness of the recording, independent of aligner and language.

The scores of an aligner cannot show words on the wrong passage of the recording: they are computed at the aligned
position. Loudness can show it. There are three kinds of evidence, in seconds. Each is the worst case in the utterance,
so one misplaced passage in an hour has an effect.

* `uncovered`: speech between two neighbouring words, before the first or after the last. Words moved by half a second
  leave half a second of speech uncovered.
* `stretched`: duration of the longest word above the duration of its letters for a slow speaker. A word stretched over
  a gap leaves no uncovered speech, but it is too long.
* `squeezed`: duration missing in neighbouring words. Words pushed against each other, or against the end of the
  recording, are too short for their letters.

The plausibility (dataset column `trust`) is 2^-m, with m the largest ratio of evidence to limit. It is 1 without
evidence, 0.5 at a limit, and near 0 far above it. The limits were chosen on LibriSpeech and LJSpeech, aligned by
PocketSphinx.

Not detected: words exchanged for words of equal length, errors below 0.3 s, and loud music or noise without speech,
which counts as uncovered speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME = 0.01  # seconds
MARGIN = 0.03  # seconds added to each side of a word, because word borders are inexact
QUIET, LOUD = 5, 90  # percentiles of the frame levels, for silence and for speech
SPEECH = 0.4  # position of the speech threshold between the two percentiles
LEAST_DYNAMICS = 6.0  # dB between the percentiles; with less, no frame counts as speech
NEIGHBOURS = 8  # neighbouring words over which missing duration is summed

SLOW_LETTER = 0.12  # seconds of a letter in slow speech
QUICK_LETTER = 0.02  # seconds, the shortest duration of a letter
SYLLABLE = 10  # frames, the shortest duration of a syllable
FLOOR = 1e-12  # power of digital silence

LIMITS = (0.3, 0.3, 0.06)  # seconds of uncovered, stretched, squeezed at plausibility 0.5

Samples = NDArray[np.float32]


class TimingEvidence(NamedTuple):
    """Evidence against the word times, in seconds; see the module docstring."""

    uncovered: float
    stretched: float
    squeezed: float

    @property
    def plausibility(self) -> float:
        """Plausibility of the word times: 1 without evidence, 0.5 at a limit, near 0 far above it."""
        return float(2.0 ** -max(max(value, 0.0) / limit for value, limit in zip(self, LIMITS, strict=True)))


class FramePower:
    """Mean power of each `FRAME` of audio, computed from blocks of any length."""

    def __init__(self, sample_rate: int) -> None:
        self._size = max(round(sample_rate * FRAME), 1)
        self._rest = np.zeros(0, np.float32)
        self._parts: list[NDArray[np.float32]] = []

    def add(self, block: Samples) -> None:
        """Add the next samples (n,)."""
        audio = np.concatenate((self._rest, block)) if len(self._rest) else block
        n = len(audio) // self._size
        self._rest = audio[n * self._size :].copy()
        frames = audio[: n * self._size].reshape(n, self._size).astype(np.float64)
        self._parts.append(np.square(frames).mean(axis=1).astype(np.float32))

    def power(self) -> NDArray[np.float32]:
        """(frames,) mean square of each complete frame."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)


def loudest_level(power: NDArray[np.float32]) -> float | None:
    """Level of the loudest 0.1 s in dBFS, at least -120; a full-scale square wave has 0. None without frames.

    Args:
        power: (frames,) power from `FramePower`.
    """
    if not len(power):
        return None
    total = np.concatenate(([0.0], np.cumsum(power, dtype=np.float64)))
    size = min(SYLLABLE, len(power))
    return float(10 * np.log10(max(np.max(total[size:] - total[:-size]) / size, FLOOR)))


def speech_frames(power: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(frames,) True for frames above the speech threshold of this recording."""
    if not len(power) or not power.any():
        return np.zeros(len(power), np.bool_)
    smooth = np.convolve(power.astype(np.float64), np.ones(3) / 3, "same")
    level = 10.0 * np.log10(np.maximum(smooth, smooth.max() * 1e-8))
    quiet, loud = np.percentile(level, (QUIET, LOUD))
    if loud - quiet < LEAST_DYNAMICS:
        return np.zeros(len(power), np.bool_)
    speech: NDArray[np.bool_] = level > quiet + SPEECH * (loud - quiet)
    return speech


def timing_evidence(
    starts: Sequence[float], ends: Sequence[float], letters: Sequence[int], power: NDArray[np.float32]
) -> TimingEvidence:
    """Evidence against the times of the words. At least one word is required.

    Args:
        starts, ends: (n,) times of the words, seconds, non-decreasing.
        letters: (n,) letters of the spoken form of each word: 18 for "1984". 0 if unknown.
        power: (frames,) power from `FramePower`.
    """
    start, end = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
    size, duration = np.asarray(letters, np.float64), end - start
    stretched = np.where(size > 0, duration - SLOW_LETTER * size, 0.0)
    lacking = np.concatenate(([0.0], np.cumsum(np.maximum(QUICK_LETTER * size - duration, 0.0))))
    near = min(NEIGHBOURS, len(start))
    squeezed = float(np.max(lacking[near:] - lacking[:-near]))
    return TimingEvidence(_uncovered(start, end, speech_frames(power)), float(np.max(stretched)), squeezed)


def speech_outside(starts: Sequence[float], ends: Sequence[float], power: NDArray[np.float32]) -> float:
    """Seconds of speech outside of the words and their margins.

    Args:
        starts, ends: (n,) times of the words, seconds, in any order.
        power: (frames,) power from `FramePower`.
    """
    speech = speech_frames(power)
    for start, end in zip(starts, ends, strict=True):
        speech[max(round((start - MARGIN) / FRAME), 0) : max(round((end + MARGIN) / FRAME), 0)] = False
    return float(speech.sum() * FRAME)


def _uncovered(start: NDArray[np.float64], end: NDArray[np.float64], speech: NDArray[np.bool_]) -> float:
    """Largest duration of speech, in seconds, between two neighbouring words, before the first or after the last."""
    n, margin = len(speech), round(MARGIN / FRAME)
    first = np.clip(np.round(start / FRAME).astype(np.int64) - margin, 0, n)
    stop = np.clip(np.round(np.maximum.accumulate(end) / FRAME).astype(np.int64) + margin, 0, n)
    left, right = np.concatenate(([0], stop)), np.concatenate((first, [n]))
    total = np.concatenate(([0], np.cumsum(speech)))
    return float(np.max(np.maximum(total[np.maximum(right, left)] - total[left], 0)) * FRAME)
