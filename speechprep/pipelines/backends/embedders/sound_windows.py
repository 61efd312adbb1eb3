"""Windows that cover a sound wholly and always in the same way, and the mean of their vectors.

Windows start every `hop` samples; one more ends where the sound ends, if the others do not reach it, so that no window
but that of a short sound is partly empty and no sample is left out. Nothing is drawn at random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def spans(n_samples: int, window: int, hop: int) -> list[tuple[int, int]]:
    """[start, stop) of each window of a sound of `n_samples` > 0; a sound not longer than a window is one."""
    if n_samples <= window:
        return [(0, n_samples)]
    starts = list(range(0, n_samples - window + 1, hop))
    if starts[-1] + window < n_samples:
        starts.append(n_samples - window)
    return [(start, start + window) for start in starts]


def unit(vectors: F32) -> F32:
    """Rows (n, dim) scaled to length 1; a row of zeros stays one."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0), np.float32)


def pool(vectors: F32) -> F32:
    """The mean of unit vectors (n, dim) as one unit vector (1, dim); each window counts alike."""
    return (
        unit(vectors.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)) if len(vectors) > 1 else vectors
    )
