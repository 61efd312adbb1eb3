"""Blocks of frames for k-means, from an array or from a raw file larger than memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError

F32 = NDArray[np.float32]
Rows = slice | NDArray[np.int64]


class FrameFile:
    """A raw file of (n, dim) float32 rows, little-endian. Threads may share it, because it is read by `pread`.

    It is not memory-mapped: mapped pages count as memory of the process, and a memory limit could stop the process.

    Raises:
        ConfigError: the size of the file is not a multiple of the row size.
    """

    def __init__(self, path: str | Path, dim: int) -> None:
        self._file = os.open(path, os.O_RDONLY)
        size = os.fstat(self._file).st_size
        if size % (4 * dim):
            os.close(self._file)
            raise ConfigError(f"{path}: {size} bytes, not a multiple of {dim} float32 values; write the sample again")
        self.shape = (size // (4 * dim), dim)

    def __enter__(self) -> FrameFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> F32:
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            return self._read(start, stop)
        frames = np.empty((len(rows), self.shape[1]), "<f4")
        # One read for each run of consecutive rows.
        edges = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
        for first, after in zip(edges, [*edges[1:], len(rows)], strict=True):
            frames[first:after] = self._read(int(rows[first]), int(rows[first]) + after - first)
        return frames

    def _read(self, start: int, stop: int) -> F32:
        row = 4 * self.shape[1]
        frames = np.empty((stop - start, self.shape[1]), "<f4")
        view = memoryview(frames.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
        at = 0
        while at < len(view):
            count = os.preadv(self._file, [view[at:]], start * row + at)
            if not count:
                raise ConfigError(
                    "k-means: the file of frames was truncated while it was read; "
                    "do not change the scratch folder during a run"
                )
            at += count
        return frames


class Block:
    """Consecutive frames of a subset, read on first use.

    Attributes:
        start, stop: rows [start, stop) of the subset.
        name: unique among the blocks of a fit; None for a block of one use, not worth caching.
    """

    def __init__(self, start: int, stop: int, read: Callable[[], F32], name: tuple[int, int] | None = None) -> None:
        self.start, self.stop, self.name = start, stop, name
        self._read = read
        self._data: F32 | None = None

    @classmethod
    def of(cls, data: F32) -> Block:
        """A block with the rows of an array (m, dim)."""
        return cls(0, len(data), lambda: data)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def data(self) -> F32:
        """(m, dim) float32, C-contiguous."""
        if self._data is None:
            self._data = np.ascontiguousarray(self._read(), np.float32)
        return self._data


class Subset:
    """Rows of an array or `FrameFile`, in ascending order, divided into blocks of at most `block` rows."""

    def __init__(self, frames: Any, rows: NDArray[np.int64], block: int) -> None:
        self.rows = rows
        self._frames = frames
        self._whole = len(rows) == 0 or int(rows[-1]) - int(rows[0]) + 1 == len(rows)
        self._block = block

    def __len__(self) -> int:
        return len(self.rows)

    def spans(self) -> list[tuple[int, int]]:
        """(start, stop) of each block."""
        return list(pairwise([*range(0, len(self), self._block), len(self)]))

    def block(self, start: int, stop: int) -> Block:
        """The block of rows [start, stop), not yet read."""
        return Block(start, stop, partial(self._read, start, stop), (len(self), start))

    def _read(self, start: int, stop: int) -> F32:
        if self._whole:
            first = int(self.rows[0])
            return self._frames[first + start : first + stop]  # type: ignore[no-any-return]
        return self._frames[self.rows[start:stop]]  # type: ignore[no-any-return]
