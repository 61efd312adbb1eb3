"""Fingerprint of audio: one 32-bit code for each 16 ms, robust to gain, resampling, lossy codecs and small offsets.

The codes are those of Haitsma and Kalker ("A highly robust audio fingerprinting system", ISMIR 2002, section 4.2). Bit
m of frame n is 1 if the energy difference of the neighbouring bands m and m + 1 is greater in frame n than in an
earlier frame. A gain changes no bit. Two differences from the paper suit short speech. The bands reach 3.4 kHz, still
within a copy at 8 kHz. The earlier frame is `LAG` frames back, because neighbouring frames overlap by 15/16.

Copies agree in most bits at one offset. Unrelated sounds agree in half of them by chance.
The share of different bits is the bit error rate.

Keys find candidates of copies. A key is a hash of two coarse codes (fewer and wider bands, so a codec changes fewer
bits) and of the second in which they lie. Copies share some keys unless their offset is above about a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import Hashes, mix64

RATE = 8_000  # Hz of the analysed audio
FRAME = 2048  # samples: 0.256 s
STEP = 128  # samples: 16 ms
BANDS = 33  # of a code
LAG = 4  # frames between the two energies of a bit of a code
COARSE_BANDS = 15  # of a code in a key
COARSE_LAG = 6
SPAN = 8  # frames between the two codes of a key
PLACES = 64  # frames in which a key is the same: 1.024 s
KEYS = 128  # keys of an utterance
LOWEST, HIGHEST = 300.0, 3400.0  # Hz
QUIET = 1e-5  # a frame with a smaller share of the power of the loudest frame has no code: -50 dB
NO_CODE = np.uint32(0)

Samples = NDArray[np.float32]
Codes = NDArray[np.uint32]
F64 = NDArray[np.float64]


class Fingerprint(NamedTuple):
    """Fingerprint of one sound.

    Attributes:
        codes: (frames,) codes; 0 for a quiet frame.
        keys: (keys,) the `KEYS` smallest hashes of two coarse codes, ascending, each once.
        places: (keys,) frame of each key.
    """

    codes: Codes
    keys: Hashes
    places: NDArray[np.int32]


def fingerprint(blocks: Iterable[Samples]) -> Fingerprint:
    """Fingerprint of mono audio at `RATE`, in blocks (n,) of any length.

    The audio is continued by a frame of silence on both sides, so a short sound has codes too, and silence before or
    after a copy changes nothing.
    """
    fine, coarse = _band_energies(blocks)
    keys, places = _keys(_codes(coarse, COARSE_LAG))
    return Fingerprint(_codes(fine, LAG), keys, places)


def _edges(bands: int) -> NDArray[np.int64]:
    """(bands + 1,) bins of the spectrum at the limits of the bands, in equal ratios."""
    return np.round(np.geomspace(LOWEST, HIGHEST, bands + 1) * FRAME / RATE).astype(np.int64)


def _band_energies(blocks: Iterable[Samples]) -> tuple[F64, F64]:
    """(frames, BANDS) and (frames, COARSE_BANDS) energies of the bands."""
    window = np.hanning(FRAME)
    fine: list[F64] = []
    coarse: list[F64] = []

    def analysed(audio: F64) -> F64:
        n = (len(audio) - FRAME) // STEP + 1
        frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME)[: (n - 1) * STEP + 1 : STEP]
        spectrum = np.fft.rfft(frames * window)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        for parts, edges in ((fine, _edges(BANDS)), (coarse, _edges(COARSE_BANDS))):
            parts.append(np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1))
        return audio[n * STEP :]

    rest = np.zeros(FRAME)
    for block in blocks:
        for start in range(0, len(block), RATE):
            rest = np.concatenate((rest, block[start : start + RATE].astype(np.float64)))
            if len(rest) >= FRAME:
                rest = analysed(rest)
    rest = np.concatenate((rest, np.zeros(FRAME)))
    if len(rest) >= FRAME:
        analysed(rest)
    if not fine:
        return np.zeros((0, BANDS)), np.zeros((0, COARSE_BANDS))
    return np.concatenate(fine), np.concatenate(coarse)


def _codes(energies: F64, lag: int) -> Codes:
    """(frames - lag,) codes of one bit for each two neighbouring bands; 0 for quiet frames."""
    total = energies.sum(axis=1)
    if len(energies) <= lag or not total.any():
        return np.zeros(max(len(energies) - lag, 0), np.uint32)
    slope = energies[:, :-1] - energies[:, 1:]
    bits = slope[lag:] > slope[:-lag]
    weights = np.uint32(1) << np.arange(bits.shape[1], dtype=np.uint32)
    codes = (bits * weights).sum(axis=1, dtype=np.uint32)
    return np.where(total[lag:] < QUIET * total.max(), NO_CODE, codes)


def _keys(codes: Codes) -> tuple[Hashes, NDArray[np.int32]]:
    first, second = codes[:-SPAN], codes[SPAN:]
    places = np.flatnonzero((first != NO_CODE) & (second != NO_CODE))
    both = first[places].astype(np.uint64) << np.uint64(32) | second[places].astype(np.uint64)
    keys = mix64(mix64(both) + (places // PLACES).astype(np.uint64))
    keys, where = np.unique(keys, return_index=True)  # the first place of each key
    return keys[:KEYS], places[where[:KEYS]].astype(np.int32)


def bit_errors(a: Codes, b: Codes, offset: int) -> tuple[float, int]:
    """Bit error rate at an offset, and the number of frames compared: those that are quiet in neither sound.

    Args:
        a, b: codes of two sounds.
        offset: frame i of `b` is compared with frame i + `offset` of `a`.
    """
    start, stop = max(offset, 0), min(len(a), len(b) + offset)
    if stop <= start:
        return 1.0, 0
    left, right = a[start:stop], b[start - offset : stop - offset]
    both = (left != NO_CODE) & (right != NO_CODE)
    n = int(np.count_nonzero(both))
    if not n:
        return 1.0, 0
    return float(np.bitwise_count(left[both] ^ right[both]).sum() / (32 * n)), n


def overlap(a: Codes, b: Codes, offset: int) -> float:
    """Share of the longer of two sounds that lies in both at an offset; see `bit_errors`.

    It is the larger of two shares: of the frames that are not quiet (silence was added to a copy), and of all frames
    if that many of the not quiet frames of one of them are compared (noise was added to a copy).
    """
    start, stop = max(offset, 0), max(min(len(a), len(b) + offset), max(offset, 0))
    compared = int(np.count_nonzero((a[start:stop] != NO_CODE) & (b[start - offset : stop - offset] != NO_CODE)))
    fewer, more = sorted((coded(a), coded(b)))
    in_time = (stop - start) / max(len(a), len(b), 1)
    return max(compared / max(more, 1), min(in_time, compared / max(fewer, 1)))


def coded(codes: Codes) -> int:
    """Number of frames that are not quiet."""
    return int(np.count_nonzero(codes))
