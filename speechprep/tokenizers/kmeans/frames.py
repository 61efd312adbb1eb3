"""Frames that k-means goes over again and again, by blocks: an array, or a raw file that is never held in memory."""

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
    """A raw file of (n, dim) float32, little-endian, row after row; read by `pread`, so that threads may share it.

    It is not memory-mapped: pages of a mapped file count as memory of the process, and a limit on that would be felt.

    Raises:
        ConfigError: the file does not hold whole rows.
    """

    def __init__(self, path: str | Path, dim: int) -> None:
        self._file = os.open(path, os.O_RDONLY)
        size = os.fstat(self._file).st_size
        if size % (4 * dim):
            os.close(self._file)
            raise ConfigError(f"{path}: {size} bytes are no whole number of frames of {dim} float32 values")
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
        found = np.empty((len(rows), self.shape[1]), "<f4")
        # One read for each stretch of neighbouring rows.
        edges = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
        for first, after in zip(edges, [*edges[1:], len(rows)], strict=True):
            found[first:after] = self._read(int(rows[first]), int(rows[first]) + after - first)
        return found

    def _read(self, start: int, stop: int) -> F32:
        row = 4 * self.shape[1]
        found = np.empty((stop - start, self.shape[1]), "<f4")
        view = memoryview(found.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
        at = 0
        while at < len(view):
            got = os.preadv(self._file, [view[at:]], start * row + at)
            if not got:
                raise ConfigError("k-means: the file of frames became shorter while it was read")
            at += got
        return found


class Block:
    """Some frames, read when they are first asked for.

    Attributes:
        start, stop: where they are in their subset.
        name: tells them from all other blocks of a fit; None where they will not be seen again.
    """

    def __init__(self, start: int, stop: int, read: Callable[[], F32], name: tuple[int, int] | None = None) -> None:
        self.start, self.stop, self.name = start, stop, name
        self._read = read
        self._data: F32 | None = None

    @classmethod
    def of(cls, data: F32) -> Block:
        """An array as it is."""
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
    """Some rows of an array or `FrameFile`, in rising order, seen as blocks of at most `block` rows."""

    def __init__(self, frames: Any, rows: NDArray[np.int64], block: int) -> None:
        self.rows = rows
        self._frames = frames
        self._whole = len(rows) == 0 or int(rows[-1]) - int(rows[0]) + 1 == len(rows)
        self._block = block

    def __len__(self) -> int:
        return len(self.rows)

    def spans(self) -> list[tuple[int, int]]:
        """(start, stop) of all blocks."""
        return list(pairwise([*range(0, len(self), self._block), len(self)]))

    def block(self, start: int, stop: int) -> Block:
        """One of them, not yet read."""
        return Block(start, stop, partial(self._read, start, stop), (len(self), start))

    def _read(self, start: int, stop: int) -> F32:
        if self._whole:
            first = int(self.rows[0])
            return self._frames[first + start : first + stop]  # type: ignore[no-any-return]
        return self._frames[self.rows[start:stop]]  # type: ignore[no-any-return]
