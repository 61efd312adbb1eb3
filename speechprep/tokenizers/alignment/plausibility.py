"""Do the word times fit the sound? A measure that asks neither the aligner nor the language.

An aligner's scores cannot tell that its words were placed on the wrong stretch of the recording: they are computed
where the words should be, or copied with them. The loudness of the recording can. Three pieces of evidence, each in
seconds, each the worst of its kind in the utterance, so that one misplaced passage in an hour shows:

* `uncovered`: speech between two neighbouring words, before the first or after the last. Words moved away by half a
  second leave half a second of speech behind.
* `stretched`: what the longest word has beyond a slow speaker's length for its letters. A word that was pulled over a
  gap, so that none is seen, is too long.
* `squeezed`: what neighbouring words lack to be said at all. Words pushed against one another, or against the end of
  the recording, have no room.

`trust` is 2 to the power of minus the largest of evidence / limit: 1 where nothing speaks against the times, 0.5 at a
limit, and near 0 far beyond it. The limits were chosen on LibriSpeech and LJSpeech aligned by PocketSphinx.

It cannot see: words swapped for others that are as long, loud music or noise without speech (that counts as speech that
no word covers), times that are wrong by less than 0.3 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME = 0.01  # seconds
MARGIN = 0.03  # seconds at each side of a word that belong to it: borders are not that exact
QUIET, LOUD = 5, 90  # percentiles of the frame levels that stand for silence and for speech
SPEECH = 0.4  # of the way from the one to the other: louder is speech
LEAST_DYNAMICS = 6.0  # dB between them; with less, nothing stands out
NEIGHBOURS = 8  # words whose lack of room is added up

SLOW_LETTER = 0.12  # seconds: a word of n letters said slowly
QUICK_LETTER = 0.02  # seconds: no word of n letters is shorter
SYLLABLE = 10  # frames: no sound of speech is over sooner
FLOOR = 1e-12  # power that stands for digital silence

LIMITS = (0.3, 0.3, 0.06)  # seconds of uncovered, stretched, squeezed at which the times are doubted

Samples = NDArray[np.float32]


class Evidence(NamedTuple):
    """What speaks against the word times, in seconds; see the module."""

    uncovered: float
    stretched: float
    squeezed: float

    @property
    def trust(self) -> float:
        """From 1, nothing speaks against them, to 0."""
        return float(2.0 ** -max(max(value, 0.0) / limit for value, limit in zip(self, LIMITS, strict=True)))


class Levels:
    """The power of each `FRAME` of audio that comes in blocks; how it was cut does not matter."""

    def __init__(self, sample_rate: int) -> None:
        self._size = max(round(sample_rate * FRAME), 1)
        self._rest = np.zeros(0, np.float32)
        self._parts: list[NDArray[np.float32]] = []

    def add(self, block: Samples) -> None:
        """The next samples (n,)."""
        audio = np.concatenate((self._rest, block)) if len(self._rest) else block
        n = len(audio) // self._size
        self._rest = audio[n * self._size :].copy()
        frames = audio[: n * self._size].reshape(n, self._size).astype(np.float64)
        self._parts.append(np.square(frames).mean(axis=1).astype(np.float32))

    def power(self) -> NDArray[np.float32]:
        """(whole frames,) mean squares so far."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)


def loudest(power: NDArray[np.float32]) -> float | None:
    """Level of the loudest tenth of a second in dBFS (a full-scale square wave has 0), at least -120; None: no frame.

    Args:
        power: of `Levels`.
    """
    if not len(power):
        return None
    total = np.concatenate(([0.0], np.cumsum(power, dtype=np.float64)))
    size = min(SYLLABLE, len(power))
    return float(10 * np.log10(max(np.max(total[size:] - total[:-size]) / size, FLOOR)))


def speech_frames(power: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(frames,) True where it is as loud as speech, between the silence and the speech of this recording."""
    if not len(power) or not power.any():
        return np.zeros(len(power), np.bool_)
    smooth = np.convolve(power.astype(np.float64), np.ones(3) / 3, "same")
    level = 10.0 * np.log10(np.maximum(smooth, smooth.max() * 1e-8))
    quiet, loud = np.percentile(level, (QUIET, LOUD))
    if loud - quiet < LEAST_DYNAMICS:
        return np.zeros(len(power), np.bool_)
    found: NDArray[np.bool_] = level > quiet + SPEECH * (loud - quiet)
    return found


def evidence(
    starts: Sequence[float], ends: Sequence[float], letters: Sequence[int], power: NDArray[np.float32]
) -> Evidence:
    """What speaks against the times of at least one word.

    Args:
        starts, ends: seconds, never going backwards.
        letters: of what is said for each word ("1984" is said in 18); 0 where that is not known.
        power: of `Levels`.
    """
    start, end = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
    size, lasts = np.asarray(letters, np.float64), end - start
    stretched = np.where(size > 0, lasts - SLOW_LETTER * size, 0.0)
    lacking = np.concatenate(([0.0], np.cumsum(np.maximum(QUICK_LETTER * size - lasts, 0.0))))
    near = min(NEIGHBOURS, len(start))
    squeezed = float(np.max(lacking[near:] - lacking[:-near]))
    return Evidence(_uncovered(start, end, speech_frames(power)), float(np.max(stretched)), squeezed)


def _uncovered(start: NDArray[np.float64], end: NDArray[np.float64], speech: NDArray[np.bool_]) -> float:
    """The most seconds of speech between two neighbouring words, before the first or after the last."""
    n, margin = len(speech), round(MARGIN / FRAME)
    first = np.clip(np.round(start / FRAME).astype(np.int64) - margin, 0, n)
    stop = np.clip(np.round(np.maximum.accumulate(end) / FRAME).astype(np.int64) + margin, 0, n)
    left, right = np.concatenate(([0], stop)), np.concatenate((first, [n]))
    total = np.concatenate(([0], np.cumsum(speech)))
    return float(np.max(np.maximum(total[np.maximum(right, left)] - total[left], 0)) * FRAME)
