"""Extractor `mfcc`: the 39 MFCC of the first clustering of HuBERT. No model, no download, no torch.

13 cepstra as in `compute-mfcc-feats --dither=0 --use-energy=false` of Kaldi: 25 ms Povey window, 10 ms hop, whole
windows only, DC removed, preemphasis 0.97, 23 mel filters from 20 Hz to Nyquist, liftering 22. Deltas and delta-deltas
follow, over 5 frames with the edges repeated (`torchaudio.functional.compute_deltas`, win_length=5). fairseq computes
the same in `examples/hubert/simple_kmeans/dump_mfcc_feature.py`, on samples in [-1, 1].

Computation runs in blocks of `BLOCK` frames from the start of the utterance; the last block is filled up with zeros. No
step uses BLAS. So the bits of a frame are the same for whole audio and pieces, alone and in a batch, with any number of
threads. Memory holds one block and the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.backends import Extractor

VERSION = 1  # raise it if the same audio gives other values
BLOCK = 256  # frames; 512 is a fifth faster for each frame, but short utterances are filled up to it
CEPSTRA = 13
MELS = 23
LOW_HZ = 20.0
PREEMPHASIS = 0.97
LIFTER = 22.0
FLOOR = float(np.finfo(np.float32).eps)  # lower bound before the logarithm, as in Kaldi
CONTEXT = 4  # frames on each side with an influence on the second delta of a frame

F32 = NDArray[np.float32]


class MfccExtractor(Extractor):
    """Kaldi MFCC with deltas.

    Args:
        cmvn: "none" as in HuBERT, or "utterance": mean 0 and deviation 1 of each coefficient over the utterance.
        deltas: orders of deltas: 2 gives 39 values in a frame, 0 gives 13.
    """

    name = "mfcc"
    dim: int
    sample_rate = 16_000
    thread_safe = True  # its tables are only read
    grid = FrameGrid(sample_rate=16_000, stride=160, window=400)

    def __init__(self, cmvn: Literal["none", "utterance"] = "none", deltas: int = 2) -> None:
        if cmvn not in ("none", "utterance"):
            raise ConfigError(f"mfcc: cmvn = {cmvn!r}; choose 'none' or 'utterance'")
        if deltas not in (0, 1, 2):
            raise ConfigError(f"mfcc: deltas = {deltas!r}; choose 0, 1 or 2")
        self.cmvn = cmvn
        self.deltas = deltas
        self.dim = CEPSTRA * (1 + deltas)

    def identity(self) -> dict[str, Any]:
        """Name, version and every parameter."""
        return {
            "name": "mfcc",
            "version": VERSION,
            "sample_rate": self.sample_rate,
            "stride": self.grid.stride,
            "window": self.grid.window,
            "cepstra": CEPSTRA,
            "mels": MELS,
            "low_hz": LOW_HZ,
            "preemphasis": PREEMPHASIS,
            "lifter": LIFTER,
            "deltas": self.deltas,
            "cmvn": self.cmvn,
        }

    def load(self) -> None:
        """Compute the tables: window, mel filters, cosines with the lifter."""
        self._window = _povey_window(self.grid.window)
        self._size = 1 << (self.grid.window - 1).bit_length()
        self._filters = _mel_slices(_mel_filters(self.sample_rate, self._size))
        self._cosines = _liftered_cosines()

    def extract(self, batch: list[F32]) -> list[F32]:
        """(frames, dim) float32 for each item (samples,) float32 in [-1, 1].

        Raises:
            BadInput: `audio_too_short` for an item of less than one window (25 ms).
        """
        return [np.concatenate(list(self.extract_stream([audio]))) for audio in batch]

    def extract_stream(self, blocks: Iterable[F32]) -> Iterator[F32]:
        """The frames of one utterance, from audio in pieces of any length, in blocks (some frames, dim).

        All blocks together are bit-identical to `extract`. With `cmvn` there is one block at the end.

        Raises:
            BadInput: `audio_too_short` for less than one window in all.
        """
        frames = _with_deltas(self._cepstra(blocks), self.deltas)
        if self.cmvn == "none":
            yield from frames
        else:
            yield _normalise(np.concatenate(list(frames)))

    def _cepstra(self, blocks: Iterable[F32]) -> Iterator[F32]:
        stride, window = self.grid.stride, self.grid.window
        needed = (BLOCK - 1) * stride + window
        rest = np.zeros(0, np.float32)
        frames = 0
        for piece in blocks:
            rest = np.concatenate([rest, piece]) if len(rest) else piece
            start = 0
            while len(rest) - start >= needed:
                yield self._block(rest[start : start + needed])
                start += BLOCK * stride
                frames += BLOCK
            rest = rest[start:]
        left = self.grid.num_frames(len(rest))
        if left:
            samples = np.zeros(needed, np.float32)
            samples[: len(rest)] = rest  # filled up; frames after the last whole window are cut off
            yield self._block(samples)[:left]
        elif not frames:
            raise BadInput(
                "audio_too_short",
                f"{len(rest)} samples are less than one window of {window} ({1000 * window // self.sample_rate} ms)",
            )

    def _block(self, samples: F32) -> F32:
        """(BLOCK - 1) * stride + window samples -> (BLOCK, 13) cepstra."""
        from scipy.fft import rfft

        windows = np.lib.stride_tricks.sliding_window_view(samples, self.grid.window)[:: self.grid.stride]
        frames = windows - windows.mean(axis=1, keepdims=True, dtype=np.float32)
        emphasised = frames - np.float32(PREEMPHASIS) * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        spectrum = rfft(emphasised * self._window, self._size, axis=1)
        # Bins by frames: each filter is a sum of whole rows in a fixed order, the same for every column.
        power = np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T)
        mels = np.empty((MELS, BLOCK), np.float32)
        for m, (low, weights) in enumerate(self._filters):
            mels[m] = np.add.reduce(power[low : low + len(weights)] * weights[:, None], axis=0)
        logs = np.log(np.maximum(mels, np.float32(FLOOR)))
        cepstra = np.empty((CEPSTRA, BLOCK), np.float32)
        for c, cosine in enumerate(self._cosines):
            cepstra[c] = np.add.reduce(logs * cosine[:, None], axis=0)
        return np.ascontiguousarray(cepstra.T)


def delta(frames: F32) -> F32:
    """Slope over 5 frames, edges repeated: sum of n * (x[t+n] - x[t-n]) over n = 1, 2, by 10. Shape (frames, d)."""
    padded = np.concatenate([frames[:1], frames[:1], frames, frames[-1:], frames[-1:]])
    near, far = padded[3:-1] - padded[1:-3], padded[4:] - padded[:-4]
    return np.asarray((near + np.float32(2) * far) / np.float32(10), np.float32)


def _with_deltas(blocks: Iterator[F32], orders: int) -> Iterator[F32]:
    """Append deltas to a stream of frames; a block waits for the frames after it."""
    if orders == 0:
        yield from blocks
        return
    held, context = next(blocks), 0  # the first `context` rows of `held` are already yielded and serve as context
    for block in blocks:
        held = np.concatenate([held, block])
        ready = len(held) - CONTEXT
        if ready > context:
            yield _stack(held, orders)[context:ready]
            held = held[max(ready - CONTEXT, 0) :]
            context = min(ready, CONTEXT)
    yield _stack(held, orders)[context:]


def _stack(frames: F32, orders: int) -> F32:
    columns = [frames]
    for _ in range(orders):
        columns.append(delta(columns[-1]))
    return np.concatenate(columns, axis=1)


def _normalise(frames: F32) -> F32:
    wide = frames.astype(np.float64)
    deviation = wide.std(axis=0)
    return np.asarray((wide - wide.mean(axis=0)) / np.where(deviation > 1e-8, deviation, 1.0), np.float32)


def _povey_window(size: int) -> F32:
    """The window of Kaldi: a symmetric Hann window to the power of 0.85."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))
    return np.asarray(np.maximum(hann, 0.0) ** 0.85, np.float32)


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(hertz, np.float64) / 700.0)


def _mel_filters(sample_rate: int, size: int) -> F32:
    """(MELS, size // 2) triangles, equally wide on the mel scale; the Nyquist bin has no weight, as in Kaldi."""
    edges = np.linspace(_mel(LOW_HZ), _mel(sample_rate / 2), MELS + 2)
    bins = _mel(np.arange(size // 2) * sample_rate / size)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.maximum(0.0, np.minimum(up, down)), np.float32)


def _mel_slices(filters: F32) -> list[tuple[int, F32]]:
    """The nonzero part of each filter: first bin and weights."""
    slices = []
    for row in filters:
        used = np.flatnonzero(row)
        slices.append((int(used[0]), row[used[0] : used[-1] + 1].copy()))
    return slices


def _liftered_cosines() -> F32:
    """(13, MELS): orthonormal DCT-II, each row times the Kaldi lifter 1 + 11 sin(pi i / 22)."""
    order = np.arange(CEPSTRA, dtype=np.float64)[:, None]
    cosines = np.sqrt(2.0 / MELS) * np.cos(np.pi / MELS * (np.arange(MELS) + 0.5) * order)
    cosines[0] = np.sqrt(1.0 / MELS)
    return np.asarray(cosines * (1.0 + 0.5 * LIFTER * np.sin(np.pi * order / LIFTER)), np.float32)
