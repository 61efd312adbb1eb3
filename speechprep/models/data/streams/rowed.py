"""Streams of fixed rows, shuffled in each epoch: of `packed`, and of fitted documents."""

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
    """Rows of one or several pieces: (n, context) each; `names` (n,) lists, None where they were not asked for."""

    tokens: NDArray[np.int32]
    documents: NDArray[np.int32]
    names: pa.ListArray | None


def shaped(column: pa.ListArray, context: int) -> NDArray[np.int32]:
    """A column of lists of `context` values each, as (n, context), without a copy."""
    return np.asarray(column.flatten()).reshape(-1, context)


@dataclass(frozen=True, slots=True)
class _Held:
    rows: Rows
    order: Ints  # (n,) rows of the window as they are given
    samples: Ints  # (n,) number of each row within the source


class RowedStream(Stream):
    """See the module's text. `sizes` are rows."""

    @abstractmethod
    def make(self, pieces: Sequence[int]) -> Rows:
        """Read pieces and make their rows, one after the other. They are good until the next call."""

    def window_size(self) -> int:
        """In rows."""
        return max(1, self.window // self.context)

    def load(self, order: Epoch, window: int) -> _Held:
        """The rows of a window, and their shuffled order."""
        pieces = order.pieces(window)
        first = np.cumsum(self.sizes) - self.sizes
        samples = ranges(first[pieces], self.sizes[pieces])
        return _Held(self.make(pieces.tolist()), order.within(window, len(samples)), samples)

    def fill_from(self, epoch: int, numbers: Ints, into: Ints, out: Any) -> None:
        """See `Stream`."""
        order = self.order(epoch)
        windows = order.window_of(numbers)
        for window in range(int(windows[0]), int(windows[-1]) + 1):
            here = windows == window
            if not here.any():
                continue
            held = self.held(epoch, window)
            chosen, target = held.order[numbers[here] - order.at[window]], into[here]
            place(out["input_ids"], target, held.rows.tokens[chosen])
            place(out["document_ids"], target, held.rows.documents[chosen])
            place(out["samples"], target, held.samples[chosen])
            if held.rows.names is not None:
                for at, names in zip(target.tolist(), held.rows.names.take(pa.array(chosen)).to_pylist(), strict=True):
                    out["names"][at] = names
