"""Position in units: the statistics for centring, the shift test and the PNMI of units and position.

All of it comes from the columns that `sample` writes for an extractor with a fixed window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.shift import kept_shares
from speechprep.pipelines.stages.cluster.quality import agreement
from speechprep.pipelines.stages.cluster.selection import FrameSample
from speechprep.tokenizers.kmeans.fit import KMeans
from speechprep.tokenizers.kmeans.nearest import Centroids
from speechprep.tokenizers.kmeans.transform import SHRINKAGE, ExactSums, FrameTransform, shrunk_means

MIN_FRAMES = 10  # mean number of frames for each frame number in a second of the window
MAX_THIN = 0.1  # share of the frame numbers in seconds with fewer frames
BIN_SECONDS = 0.5  # of the position in PNMI
PNMI_FRAMES = 50_000  # frames for the PNMI with position
MFCC_DIM = 39

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Batches = Callable[[list[str]], Iterator[Any]]


class Normalising(Protocol):
    """Options of `cluster` for the frames."""

    center_window: float | None
    standardize: bool

    @property
    def center(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Normalisation:
    """Transform of the frames and its record in the codebook; `covered`: frames of the window with a mean, or None."""

    transform: FrameTransform
    record: dict[str, Any]
    covered: int | None


def learn(
    config: Normalising, sample: FrameSample, batches: Batches, dim: int, window_frames: int, grid: FrameGrid
) -> Normalisation:
    """Means and scale from all frames of a sample.

    Args:
        config: the options.
        sample: all frames.
        batches: columns -> batches of the whole `sample` dataset.
        dim: values of a frame.
        window_frames: frames of the extractor's window; 0: none.
        grid: of the frames.

    Raises:
        ConfigError: centring needs frame numbers, or a longer part of the window than the sample covers.
    """
    if config.center == "none" and not config.standardize:
        return Normalisation(FrameTransform(), {}, None)
    means, covered = None, None
    largest = _largest(batches, dim)
    record: dict[str, Any] = {"center": config.center, "standardize": config.standardize}
    if config.center == "position":
        covered = checked_cover(config, sample.position, window_frames, grid)
        sums = ExactSums(window_frames, largest, len(sample.frame))
        for frames, positions in _positioned(batches, dim):
            sums.add(frames.astype(np.float64), positions)
        means = shrunk_means(sums.sums, sums.counts)
        record |= {"shrinkage": SHRINKAGE, "window_frames": window_frames, "covered_frames": covered}
    scale = None
    if config.standardize:
        scale = _scale(FrameTransform(means), batches, dim, largest, len(sample.frame), positioned=means is not None)
    return Normalisation(FrameTransform(means, scale), record, covered)


def checked_cover(config: Normalising, positions: I64 | None, window_frames: int, grid: FrameGrid) -> int:
    """Number of frames of the window of use; the sample must have frames for almost all of them.

    Overlapping windows of long recordings contribute few frames at the ends of a window, hence `MAX_THIN`.

    Raises:
        ConfigError: the sample has no frame numbers, or too few frames for more than `MAX_THIN` of the numbers.
    """
    if positions is None or not window_frames:
        raise ConfigError(
            "center = 'position': the sample has no frame numbers. Choose an extractor with a fixed window, for "
            "example whisper. If the sample is of an older version, run sample again with --rebuild"
        )
    window = window_frames / grid.rate
    seconds = window if config.center_window is None else min(config.center_window, window)
    needed = min(max(round(seconds * grid.rate), 1), window_frames)
    second = max(round(grid.rate), 1)
    counts = np.bincount(positions, minlength=window_frames)[:needed]
    per_second = np.add.reduceat(counts, np.arange(0, needed, second))
    lengths = np.diff([*range(0, needed, second), needed])
    thin = lengths[per_second < MIN_FRAMES * lengths].sum()
    if thin > MAX_THIN * needed:
        raise ConfigError(
            f"center = 'position' needs {MIN_FRAMES} or more frames for each frame number of the window: the sample "
            f"has them for {(needed - thin) / grid.rate:g} of {seconds:g} s. Sample longer recordings, raise "
            "max_frames, or set center_window to the seconds of your longest utterance if units are for this corpus"
        )
    return needed


def _largest(batches: Batches, dim: int) -> F64:
    """(dim,) largest absolute value of each dimension."""
    largest = np.zeros(dim)
    for frames, _ in _blocks(batches, dim, ["features"]):
        if len(frames):
            largest = np.maximum(largest, np.abs(frames).max(axis=0))
    if not np.isfinite(largest).all():
        raise ConfigError("cluster: the sample contains NaN or infinity; check its utterances for damaged audio")
    return largest


def _scale(transform: FrameTransform, batches: Batches, dim: int, largest: F64, n: int, *, positioned: bool) -> F32:
    """(dim,) 1 / standard deviation of each dimension after `transform`; 1 for a constant dimension."""
    bound = 2.0 * largest
    sums, squares = ExactSums(1, bound, n), ExactSums(1, bound**2, n)
    blocks = _positioned(batches, dim) if positioned else _blocks(batches, dim, ["features"])
    for frames, positions in blocks:
        wide = transform(frames, positions).astype(np.float64)
        everywhere = np.zeros(len(wide), np.int64)
        sums.add(wide, everywhere)
        squares.add(wide * wide, everywhere)
    mean = sums.sums[0] / n
    deviation = np.sqrt(np.maximum(squares.sums[0] / n - mean * mean, 0.0))
    return np.asarray(1.0 / np.where(deviation > 1e-7 * np.maximum(largest, 1e-30), deviation, 1.0), np.float32)


def _positioned(batches: Batches, dim: int) -> Iterator[tuple[F32, I64]]:
    return _blocks(batches, dim, ["features", "positions"])


def _blocks(batches: Batches, dim: int, columns: list[str]) -> Iterator[tuple[F32, Any]]:
    """(frames (n, dim), their numbers or None) of each batch with frames."""
    for batch in batches(columns):
        blobs = [np.frombuffer(blob.as_buffer(), "<f4") for blob in batch.column("features")]
        frames = np.concatenate(blobs).reshape(-1, dim)
        if len(frames):
            numbers = None
            if "positions" in columns:
                numbers = batch.column("positions").flatten().to_numpy(zero_copy_only=False).astype(np.int64)
            yield frames, numbers


def shift_test(
    batches: Batches, centroids: Centroids, leads: list[int], covered: int | None, grid: FrameGrid
) -> dict[str, Any]:
    """Entries of `quality.json`: share of the units kept after each lead of noise, by seconds of the lead.

    Args:
        batches: columns -> batches of the whole `sample` dataset.
        centroids: with the transform of the codebook.
        leads: frames of each lead, the first 0.
        covered: frames of the window with a mean; the speech is cut to half of them, and longer leads are left out.
            None: the whole window.
        grid: of the frames.
    """
    rows = [blobs for batch in batches(["shifted"]) for blobs in batch.column("shifted").to_pylist() if blobs]
    longest = max((len(blobs[0]) // (4 * centroids.dim) for blobs in rows), default=0)
    room = longest if covered is None else min(longest, covered // 2)
    used = [number for number, lead in enumerate(leads) if covered is None or lead + room <= covered]

    def units_of(blob: bytes, lead: int) -> NDArray[np.unsignedinteger]:
        frames = np.frombuffer(blob, "<f4").reshape(-1, centroids.dim)[:room]
        return centroids.assign(frames, np.arange(lead, lead + len(frames)))

    units = [[units_of(blobs[i], leads[i]) for i in used] for blobs in rows]
    kept = kept_shares(units, [grid.start(leads[i]) for i in used])
    return (
        {"kept": kept, "utterances": len(rows), "frames": sum(len(of_utterance[0]) for of_utterance in units)}
        if kept
        else {}
    )


def position_pnmi(
    sample: FrameSample, units: NDArray[Any], keys: NDArray[np.uint64], batches: Batches, k: int, grid: FrameGrid
) -> dict[str, float]:
    """PNMI of units and of MFCC units with the position in the window, in bins of `BIN_SECONDS`, on the same frames.

    Frames in the first window of their utterance are used, at most `PNMI_FRAMES` with the lowest keys.
    """
    if sample.position is None:
        return {}
    first_window = np.flatnonzero(sample.frame == sample.position)
    chosen = np.sort(first_window[np.argsort(keys[first_window], kind="stable")[:PNMI_FRAMES]])
    mfcc, found = _mfcc_frames(sample.take(chosen), batches)
    chosen = chosen[found]
    if len(chosen) < 2 * k:
        return {}
    bins = sample.position[chosen] // max(round(BIN_SECONDS * grid.rate), 1)
    peer = KMeans(device="cpu").fit(mfcc, k, 0, keys=keys[chosen])
    of_units, of_mfcc = (agreement(u, bins) for u in (units[chosen], peer.units))
    return {
        "pnmi": of_units["pnmi"], "pnmi_mfcc": of_mfcc["pnmi"], "bins": of_units["labels"], "frames": len(chosen),
    }  # fmt: skip


def _mfcc_frames(sample: FrameSample, batches: Batches) -> tuple[F32, NDArray[np.bool_]]:
    """MFCC (m, 39) of the frames that have one, and a mask of these frames."""
    found = np.zeros(len(sample.row), bool)
    parts: list[F32] = []
    row = 0
    for batch in batches(["frames", "mfcc"]):
        for n, blob in zip(batch.column("frames").value_lengths().to_pylist(), batch.column("mfcc"), strict=True):
            frames = np.frombuffer(blob.as_buffer(), "<f4").reshape(-1, MFCC_DIM)
            wanted = slice(*np.searchsorted(sample.row, [row, row + len(frames)]))
            parts.append(frames[sample.row[wanted] - row])
            found[wanted] = True
            row += n
    return np.concatenate(parts) if parts else np.zeros((0, MFCC_DIM), np.float32), found
