"""Streaming measures of mono audio: effective bandwidth, clipping, and signal-to-noise ratio.

Each class takes samples in blocks (n,) float32 of any length. The result does not depend on the lengths of the blocks,
and memory does not grow with the audio.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

WINDOW = 1024  # samples of a spectrum
EDGE = -60.0  # dB below the strongest frequency: weaker frequencies are outside of the bandwidth
CLIPPED_LEVEL = 0.99  # of full scale: higher samples are one value
FLAT_LEVEL = 0.25  # of full scale: a flat top below it may be silence or a tone of few bits
CLIPPED_RUN = 3  # samples of the shortest flat top
NOISE_SHARE = 0.1  # the noise is the level that a tenth of the frames does not exceed
LEVELS = (-120.0, 0.0, 1200)  # dBFS: first, last and number of the levels that are counted
FEWEST_FRAMES = 10  # fewer frames have no signal-to-noise ratio


class Blocks:
    """Blocks of a fixed length from a stream; the rest waits for the next samples."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = np.zeros(0, np.float32)

    def add(self, samples: Samples) -> Samples:
        """(blocks, size) complete blocks."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // self._size * self._size
        self._rest = joined[whole:].copy()
        return joined[:whole].reshape(-1, self._size)

    def rest(self) -> Samples:
        """(n,) samples after the last complete block."""
        return self._rest


class Bandwidth:
    """Effective bandwidth: the highest frequency within `EDGE` dB of the strongest one, in the mean power spectrum.

    Audio that was upsampled, or encoded with a low-pass filter, has a lower bandwidth than half its sample rate.
    Spectra have a Hann window of `WINDOW` samples without overlap.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._blocks = Blocks(WINDOW)
        self._window = np.hanning(WINDOW).astype(np.float32)
        self._power = np.zeros(WINDOW // 2 + 1)

    def add(self, samples: Samples) -> None:
        """Some more samples."""
        for block in self._blocks.add(samples):  # one by one: the sum then has the same bits for any blocks
            self._power += np.abs(np.fft.rfft(block * self._window)) ** 2

    def hertz(self) -> float | None:
        """The bandwidth in Hz; None for silence, and for audio below `WINDOW` samples."""
        power = self._power[1:]  # without the constant part
        strongest = power.max()
        if strongest <= 0:
            return None
        last = np.flatnonzero(power >= strongest * 10 ** (EDGE / 10))[-1] + 1
        return float(last * self._rate / WINDOW)


class Clipping:
    """Share of clipped samples: those in runs of at least `CLIPPED_RUN` equal samples of high level.

    Samples above `CLIPPED_LEVEL` of full scale count as equal. A flat top below it, as in audio that was made softer
    after clipping, counts from `FLAT_LEVEL`.
    """

    def __init__(self) -> None:
        self._value = np.float32(0)
        self._length = 0
        self._clipped = 0
        self._samples = 0

    def add(self, samples: Samples) -> None:
        """Some more samples."""
        if not len(samples):
            return
        self._samples += len(samples)
        levels = np.where(np.abs(samples) >= CLIPPED_LEVEL, np.sign(samples), samples)
        starts = np.concatenate([[0], np.flatnonzero(levels[1:] != levels[:-1]) + 1])
        lengths = np.diff(np.append(starts, len(levels)))
        values = levels[starts]
        if values[0] == self._value:
            lengths[0] += self._length
        else:
            self._end()
        self._clipped += int(lengths[:-1][self._is_clipped(values[:-1], lengths[:-1])].sum())
        self._value, self._length = values[-1], int(lengths[-1])

    def _end(self) -> None:
        if self._is_clipped(self._value, self._length):
            self._clipped += self._length
        self._length = 0

    @staticmethod
    def _is_clipped(value: NDArray[np.float32] | np.float32, length: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        return np.logical_and(np.abs(value) >= FLAT_LEVEL, np.asarray(length) >= CLIPPED_RUN)

    def share(self) -> float | None:
        """From 0 to 1; None without samples."""
        if not self._samples:
            return None
        last = self._length if self._is_clipped(self._value, self._length) else 0
        return (self._clipped + last) / self._samples


class SignalToNoise:
    """Signal-to-noise ratio from the power of frames, and whether each frame is speech.

    The noise is the level that `NOISE_SHARE` of the frames does not exceed. The signal is the mean power of the frames
    with speech, minus that of the noise. Frames of digital silence are left out.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(LEVELS[2], np.int64)
        self._speech_power = 0.0
        self._speech = 0
        self._frames = 0

    def add(self, powers: NDArray[np.float64], speech: NDArray[np.bool_]) -> None:
        """Some more frames.

        Args:
            powers: (frames,) mean squares of the samples.
            speech: (frames,) True for speech.
        """
        self._frames += len(powers)
        for power in powers[speech].tolist():  # one by one: the sum then has the same bits for any blocks
            self._speech_power += power
        self._speech += int(speech.sum())
        first, last, number = LEVELS
        heard = powers[powers > 0]
        places = ((10 * np.log10(heard) - first) / (last - first) * number).astype(np.int64)
        self._counts += np.bincount(np.clip(places, 0, number - 1), minlength=number)

    def speech_share(self) -> float | None:
        """Share of the frames with speech, from 0 to 1; None without frames."""
        return self._speech / self._frames if self._frames else None

    def decibels(self) -> float | None:
        """The ratio in dB; None without speech, and with fewer than `FEWEST_FRAMES` frames."""
        heard = int(self._counts.sum())
        if not self._speech or heard < FEWEST_FRAMES:
            return None
        first, last, number = LEVELS
        place = int(np.searchsorted(np.cumsum(self._counts), NOISE_SHARE * heard))
        noise = 10 ** ((first + (place + 0.5) * (last - first) / number) / 10)
        signal = max(self._speech_power / self._speech - noise, noise * 0.01)
        return float(10 * np.log10(signal / noise))
