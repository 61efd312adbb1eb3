"""The frames for k-means: selection from the sample, and their places in one raw file.

Memory does not hold the features. A first pass over the shards of `sample` reads the ids and frame numbers. A second
pass copies the features of the kept frames into the file, batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.tokenizers.arrays.keyed_random import Hashes, record_keys, salted, uniform_numbers
from speechprep.tokenizers.kmeans.transform import FrameTransform

PLAIN = FrameTransform()


@dataclass(frozen=True)
class FrameSample:
    """Sampled frames: frame i is number `frame[i]` of `ids[utterance[i]]`, and the `row[i]`-th of the dataset.

    `position[i]` is its number in the window of the model; None for an extractor without one.
    """

    ids: list[str]
    utterance: NDArray[np.int64]
    frame: NDArray[np.int64]
    silent: NDArray[np.bool_]
    row: NDArray[np.int64]
    position: NDArray[np.int64] | None = None

    def take(self, kept: NDArray[np.int64]) -> FrameSample:
        """Only these frames, in ascending order."""
        position = None if self.position is None else self.position[kept]
        return FrameSample(
            self.ids, self.utterance[kept], self.frame[kept], self.silent[kept], self.row[kept], position
        )

    def keys(self, seed: int) -> Hashes:
        """A random number for each frame, from (seed, id, frame) alone."""
        return salted(record_keys(seed, "cluster", self.ids)[self.utterance] + self.frame.astype(np.uint64), 0)


def read_frames(batches: Iterator[Any]) -> FrameSample:
    """Ids and numbers of the frames of a `sample` dataset: its columns id, frames, silent, and positions if present."""
    ids: list[str] = []
    counts, frame, silent, position = [], [], [], []
    for batch in batches:
        ids += batch.column("id").to_pylist()
        counts.append(batch.column("frames").value_lengths().to_numpy(zero_copy_only=False))
        frame.append(batch.column("frames").flatten().to_numpy(zero_copy_only=False))
        silent.append(batch.column("silent").flatten().to_numpy(zero_copy_only=False))
        if "positions" in batch.schema.names:
            position.append(batch.column("positions").flatten().to_numpy(zero_copy_only=False))
    if not ids:
        raise ConfigError("cluster: the sample is empty; no utterance has a frame; see the rejects of sample")
    utterance = np.repeat(np.arange(len(ids)), np.concatenate(counts))
    numbers = np.concatenate(frame).astype(np.int64)
    is_silent = np.concatenate(silent).astype(np.bool_)
    positions = np.concatenate(position).astype(np.int64) if position else None
    return FrameSample(ids, utterance, numbers, is_silent, np.arange(len(numbers)), positions)


def limit_silence(sample: FrameSample, max_share: float, seed: int) -> FrameSample:
    """The sample with at most `max_share` silent frames; the choice depends on (seed, id, frame) alone."""
    silent = np.flatnonzero(sample.silent)
    voiced = len(sample.silent) - len(silent)
    allowed = len(silent) if max_share >= 1 else int(max_share / (1 - max_share) * voiced)
    if len(silent) <= allowed or not voiced:  # the gate refuses a corpus of silence only
        return sample
    draws = np.empty(len(silent))
    owners = sample.utterance[silent]
    for owner in np.unique(owners):
        of_owner = owners == owner
        draws[of_owner] = uniform_numbers(seed, f"silence\0{sample.ids[owner]}", sample.frame[silent[of_owner]])
    # Equal draws have a probability of 2^-53; the order of the corpus decides them.
    kept = silent[np.argsort(draws, kind="stable")[:allowed]]
    return sample.take(np.sort(np.concatenate([np.flatnonzero(~sample.silent), kept])))


def spill(
    sample: FrameSample,
    batches: Iterator[Any],
    dim: int,
    first: NDArray[np.bool_],
    path: Path,
    transform: FrameTransform = PLAIN,
) -> None:
    """Write the features of the frames to a raw float32 file: first the frames of `first` (a mask), then the others.

    Args:
        sample: the frames to write, in the order of the dataset.
        batches: of the whole `sample` dataset; needs the column features.
        dim: values of a frame.
        first: mask of the frames of k-means' subset; they lie together in the file.
        path: of the file.
        transform: applied to each frame before it is written.
    """
    size = 4 * dim
    path.touch()
    with path.open("r+b") as ahead, path.open("r+b") as behind:
        behind.seek(int(first.sum()) * size)
        row = 0
        for batch in batches:
            for blob in batch.column("features"):
                features = np.frombuffer(blob.as_buffer(), "<f4").reshape(-1, dim)
                rows = slice(*np.searchsorted(sample.row, [row, row + len(features)]))
                positions = None if sample.position is None else sample.position[rows]
                kept, early = transform(features[sample.row[rows] - row], positions), first[rows]
                ahead.write(kept[early].tobytes())
                behind.write(kept[~early].tobytes())
                row += len(features)


def places(first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row of each frame in the file of `spill`."""
    positions = np.empty(len(first), np.int64)
    positions[np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)])] = np.arange(len(first))
    return positions
