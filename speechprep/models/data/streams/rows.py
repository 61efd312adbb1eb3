"""Base class of streams with the same rows in each epoch, in a new order: `packed` rows, and whole documents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.models.data.order import Epoch
from speechprep.models.data.streams.base import Stream, place
from speechprep.tokenizers.arrays.ragged import Ints, ranges


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one or several pieces: (n, context) tokens and document ids; `names` (n,) lists, or None."""

    tokens: NDArray[np.int32]
    documents: NDArray[np.int32]
    names: pa.ListArray | None


def shaped(column: pa.ListArray, context: int) -> NDArray[np.int32]:
    """A column of lists of `context` values as an array (n, context), without a copy."""
    return np.asarray(column.flatten()).reshape(-1, context)


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of a window of an epoch."""

    rows: Rows
    order: Ints  # (n,) rows of the window in shuffled order
    samples: Ints  # (n,) number of each row within the source


class RowStream(Stream):
    """Stream of fixed rows, shuffled in each epoch. `sizes` counts rows."""

    @abstractmethod
    def make(self, pieces: Sequence[int]) -> Rows:
        """Read the rows of pieces, in the order of the pieces. The result is valid until the next call."""

    def window_size(self) -> int:
        """Size of a window in rows."""
        return max(1, self.window // self.context)

    def load(self, order: Epoch, window: int) -> Window:
        """Rows of a window, and their shuffled order."""
        pieces = order.pieces(window)
        first = np.cumsum(self.sizes) - self.sizes
        samples = ranges(first[pieces], self.sizes[pieces])
        return Window(self.make(pieces.tolist()), order.within(window, len(samples)), samples)

    def fill_from(self, epoch: int, numbers: Ints, into: Ints, out: Any) -> None:
        """Copy rows of one epoch, see `Stream`."""
        order = self.order(epoch)
        windows = order.window_of(numbers)
        for window in range(int(windows[0]), int(windows[-1]) + 1):
            here = windows == window
            if not here.any():
                continue
            content = self.window_content(epoch, window)
            chosen, target, rows = content.order[numbers[here] - order.at[window]], into[here], content.rows
            place(out["input_ids"], target, rows.tokens[chosen])
            place(out["document_ids"], target, rows.documents[chosen])
            place(out["samples"], target, content.samples[chosen])
            if rows.names is not None:
                for at, names in zip(target.tolist(), rows.names.take(pa.array(chosen)).to_pylist(), strict=True):
                    out["names"][at] = names
