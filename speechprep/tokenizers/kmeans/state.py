"""Progress, result and checkpoint of a k-means fit.

The checkpoint is one file. A fit resumes from it after its process was killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from zipfile import BadZipFile
from zlib import error

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.tokenizers.kmeans.nearest import F32


@dataclass(frozen=True)
class Progress:
    """Progress of a fit after an iteration.

    Attributes:
        restart: number of the restart, from 0.
        iteration, iterations: number of the iteration, from 1, and of all iterations of the restart.
        frames: frames used in the iteration.
        inertia: mean squared distance of a frame to its centroid.
    """

    restart: int
    iteration: int
    iterations: int
    frames: int
    inertia: float


@dataclass(frozen=True)
class KMeansFit:
    """Result of a fit.

    Attributes:
        centroids: (k, d) float32.
        inertia: mean squared distance of a frame to its centroid at the start of each iteration of the best restart,
            over the frames of the iteration. A converged restart ends early.
        final_inertia: mean squared distance with the final centroids, over all frames.
        counts: (k,) number of frames of each unit.
        units: (n,) unit of each frame.
        schedule: (frames, iterations) of each planned phase.
        frames_used: frames of the last phase, always equal to `frames_seen`.
        frames_seen: number of frames.
        device: "cpu" or "gpu".
    """

    centroids: F32
    inertia: list[float]
    final_inertia: float
    counts: NDArray[np.int64]
    units: NDArray[np.int32]
    schedule: list[tuple[int, int]]
    frames_used: int
    frames_seen: int
    device: str


@dataclass
class FitState:
    """State of a fit: the position in the current restart, and the best complete restart.

    Attributes:
        restart, step: numbers of the current restart and of its next iteration, from 0.
        inertia: inertia of each completed iteration of the current restart.
        centroids: (k, d) centroids at the start of the next iteration; None before the first.
        best: (k, d) centroids of the best complete restart; None if no restart is complete.
        best_final, best_inertia: its final inertia, and its inertia by iteration.
    """

    restart: int = 0
    step: int = 0
    inertia: list[float] = field(default_factory=list)
    centroids: F32 | None = None
    best: F32 | None = None
    best_final: float = 0.0
    best_inertia: list[float] = field(default_factory=list)


class Checkpoint:
    """File with a `FitState`. It is replaced atomically, so a reader gets the old or the new state.

    Args:
        uri: path or URI of the file.
        key: digest of the inputs and options of the fit. A stored state with a different key is ignored.
    """

    def __init__(self, uri: str, key: str) -> None:
        self.uri, self.key = uri, key

    def load(self) -> FitState:
        """The stored state; without one, or after damage to it, the state before the first iteration."""
        if not storage.exists(self.uri):
            return FitState()
        try:
            with np.load(BytesIO(storage.read_bytes(self.uri)), allow_pickle=False) as body:
                facts = json.loads(bytes(body["facts"]))
                if facts.pop("key") != self.key:
                    return FitState()
                arrays = {name: body[name] for name in ("centroids", "best") if name in body.files}
            return FitState(**facts, **arrays)
        except (ValueError, LookupError, TypeError, EOFError, OSError, BadZipFile, error):  # torn by a power loss
            return FitState()

    def save(self, state: FitState) -> None:
        """Replace the file."""
        arrays = {name: value for name, value in vars(state).items() if isinstance(value, np.ndarray)}
        facts = {name: value for name, value in vars(state).items() if name not in ("centroids", "best")}
        text = json.dumps({**facts, "key": self.key}, allow_nan=False).encode()
        out = BytesIO()
        np.savez(out, allow_pickle=False, facts=np.frombuffer(text, np.uint8), **arrays)
        storage.write_bytes(self.uri, out.getvalue())
