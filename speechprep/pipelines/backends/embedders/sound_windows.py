"""Deterministic windows over a whole sound, and the mean of their vectors.

Windows start every `hop` samples. If they do not reach the end of the sound, one more window ends there. So every
sample is covered, and only the window of a short sound is partly empty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def spans(n_samples: int, window: int, hop: int) -> list[tuple[int, int]]:
    """[start, stop) of each window of a sound of `n_samples` > 0; a sound up to one window long is one window."""
    if n_samples <= window:
        return [(0, n_samples)]
    starts = list(range(0, n_samples - window + 1, hop))
    if starts[-1] + window < n_samples:
        starts.append(n_samples - window)
    return [(start, start + window) for start in starts]


def unit(vectors: F32) -> F32:
    """Rows (n, dim) scaled to length 1; a row of zeros is unchanged."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0), np.float32)


def pool(vectors: F32) -> F32:
    """The mean of unit vectors (n, dim) as one unit vector (1, dim), with equal weights."""
    return (
        unit(vectors.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)) if len(vectors) > 1 else vectors
    )
