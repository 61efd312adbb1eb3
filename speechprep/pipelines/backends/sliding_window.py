"""A sliding window of bounded length over audio in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class SlidingWindow:
    """The next samples of a stream; the buffer holds the requested samples and at most one block more."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._buffer = np.zeros(0, np.float32)
        self.start = 0  # of the window, in samples of the stream
        self.ended = False

    def fill(self, n_samples: int) -> Samples:
        """The next `n_samples`, or fewer at the end of the stream; see `is_last`."""
        parts, count = [self._buffer], len(self._buffer)
        while count <= n_samples and not self.ended:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
            else:
                parts.append(block)
                count += len(block)
        self._buffer = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return self._buffer[:n_samples]

    def is_last(self, n_samples: int) -> bool:
        """True if the stream ends within `n_samples`."""
        return self.ended and len(self._buffer) <= n_samples

    def advance(self, n_samples: int) -> None:
        """Drop the first samples."""
        self._buffer = self._buffer[n_samples:].copy()
        self.start += n_samples

    def skip(self) -> int:
        """Read to the end of the stream and return its length in samples."""
        total = self.start + len(self._buffer)
        self._buffer = np.zeros(0, np.float32)
        total += sum(len(block) for block in self._blocks)
        self.ended = True
        return total

    def blocks(self) -> Iterator[Samples]:
        """The rest of the stream, from the start of the window."""
        buffer, self._buffer = self._buffer, np.zeros(0, np.float32)
        if len(buffer):
            yield buffer
        yield from self._blocks
