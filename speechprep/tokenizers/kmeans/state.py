"""What a k-means fit says of itself: its progress, its result, and its state after each iteration.

The state is one file, so that a fit that was killed goes on where it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.tokenizers.kmeans.nearest import F32


@dataclass(frozen=True)
class Progress:
    """Where a fit is: iteration (from 1) of so many, of a restart (from 0), on so many frames, with this inertia."""

    restart: int
    iteration: int
    iterations: int
    frames: int
    inertia: float


@dataclass(frozen=True)
class KMeansFit:
    """What a fit found.

    Attributes:
        centroids: (k, d) float32.
        inertia: mean squared distance of a frame to its centroid before each iteration's step, of the best run, over
            the frames of that iteration; a run that has converged ends early.
        final_inertia: the same with the final centroids, over all frames.
        counts: (k,) frames of each unit.
        units: (n,) the unit of each frame.
        schedule: (frames, iterations) of each phase, as planned.
        frames_used: frames of the last phase; always all of `frames_seen`.
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
class Saved:
    """All that a fit needs to go on: what has been done of which restart, and the best restart so far.

    Attributes:
        restart, step: numbers of the restart under way and of its next iteration.
        inertia: of its iterations so far.
        centroids: that its next iteration begins with; None before the start.
        best, best_final, best_inertia: of the best restart that is complete, where one is: centroids, inertia, and it
            by iteration.
    """

    restart: int = 0
    step: int = 0
    inertia: list[float] = field(default_factory=list)
    centroids: F32 | None = None
    best: F32 | None = None
    best_final: float = 0.0
    best_inertia: list[float] = field(default_factory=list)


class Checkpoint:
    """One file that holds a `Saved`; it is replaced whole, so a reader sees the old or the new one.

    Args:
        uri: of the file, local or not.
        key: digest of all that decides the fit. A state of another key is passed over.
    """

    def __init__(self, uri: str, key: str) -> None:
        self.uri, self.key = uri, key

    def load(self) -> Saved:
        """The state, or that before the first iteration."""
        if not storage.exists(self.uri):
            return Saved()
        with np.load(BytesIO(storage.read_bytes(self.uri)), allow_pickle=False) as body:
            facts = json.loads(bytes(body["facts"]))
            if facts.pop("key") != self.key:
                return Saved()
            arrays = {name: body[name] for name in ("centroids", "best") if name in body.files}
        return Saved(**facts, **arrays)

    def save(self, state: Saved) -> None:
        """Replace the file."""
        arrays = {name: value for name, value in vars(state).items() if isinstance(value, np.ndarray)}
        facts = {name: value for name, value in vars(state).items() if name not in ("centroids", "best")}
        text = json.dumps({**facts, "key": self.key}, allow_nan=False).encode()
        out = BytesIO()
        np.savez(out, allow_pickle=False, facts=np.frombuffer(text, np.uint8), **arrays)
        storage.write_bytes(self.uri, out.getvalue())
