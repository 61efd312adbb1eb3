"""The stream of a `tokens` folder with concatenated documents, cut at the ends of rows.

In each epoch the documents are shuffled anew and row i is tokens i * context to (i + 1) * context of them all, put end
to end. So an epoch has as many rows in any order of its documents, and no padding but in its last row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.models.data.codes import Codes
from speechprep.models.data.documents import Picker
from speechprep.models.data.folder import Folder
from speechprep.models.data.order import Epoch
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import Stream, nothing_taken, place
from speechprep.tokenizers.arrays.ragged import Ints, offsets_of


@dataclass(frozen=True, slots=True)
class _Held:
    tokens: NDArray[np.int32]  # (t,) of the window
    begins: NDArray[np.bool_]  # (t,) True where a document begins
    offsets: Ints  # (d + 1,) of the documents
    names: pa.StringArray | None


class RunningStream(Stream):
    """See the module's text. A piece is a row group, `sizes` are its selected tokens.

    Raises:
        ConfigError: no document is taken.
    """

    def __init__(
        self, source: Source, folder: Folder, context: int, codes: Codes, seed: int, window: int, *, names: bool
    ) -> None:
        super().__init__(source, folder, context, codes, seed, window)
        self.picker = Picker(folder, source, names=names)
        if self.picker.takes_all:
            taken = folder.tokens
        else:
            taken = np.array([int(self.picker.load([g]).lengths.sum()) for g in range(len(folder.rows))], np.int64)
        self.groups = np.flatnonzero(taken)
        if not len(self.groups):
            raise ConfigError(nothing_taken(source))
        self.sizes = taken[self.groups]
        self.tokens = int(self.sizes.sum())
        self.rows = -(-self.tokens // context)

    def window_size(self) -> int:
        """In tokens."""
        return self.window

    def load(self, order: Epoch, window: int) -> _Held:
        """The documents of a window, shuffled and put end to end."""
        found = self.picker.load(self.groups[order.pieces(window)].tolist())
        by = order.within(window, len(found.lengths))
        offsets = offsets_of(found.lengths[by])
        begins = np.zeros(int(offsets[-1]), bool)
        begins[offsets[:-1]] = True
        return _Held(found.taken(by), begins, offsets, None if found.names is None else found.names.take(pa.array(by)))

    def fill_from(self, epoch: int, numbers: Ints, into: Ints, out: Any) -> None:
        """See `Stream`."""
        order, length = self.order(epoch), self.context
        first = numbers * length
        stop = np.minimum(first + length, self.tokens)
        low, high = order.window_of(first), order.window_of(stop - 1)
        tokens = np.empty((len(numbers), length), np.int32)
        begins = np.empty((len(numbers), length), bool)
        inside = (low == high) & (stop - first == length)
        for window in range(int(low[0]), int(high[-1]) + 1):
            whole = np.flatnonzero(inside & (low == window))
            parts = np.flatnonzero(~inside & (low <= window) & (window <= high))
            if not len(whole) and not len(parts):
                continue
            held, at = self.held(epoch, window), int(order.at[window])
            if len(whole):
                starts = first[whole] - at
                place(tokens, whole, sliding_window_view(held.tokens, length)[starts])
                place(begins, whole, sliding_window_view(held.begins, length)[starts])
            for row in parts.tolist():
                a, b = max(int(first[row]) - at, 0), min(int(stop[row]) - at, len(held.tokens))
                to = slice(a + at - int(first[row]), b + at - int(first[row]))
                tokens[row, to], begins[row, to] = held.tokens[a:b], held.begins[a:b]
            if held.names is not None:
                self._name(held, at, first, stop, np.concatenate([whole, parts]), into, out)
        documents = number_documents(begins)
        if numbers[-1] == self.rows - 1:
            held_of_last = int(stop[-1] - first[-1])
            tokens[-1, held_of_last:], documents[-1, held_of_last:] = self.codes.pad, -1
        place(out["input_ids"], into, tokens)
        place(out["document_ids"], into, documents)
        place(out["samples"], into, numbers)

    @staticmethod
    def _name(held: _Held, at: int, first: Ints, stop: Ints, rows: Ints, into: Ints, out: Any) -> None:
        """Add the names of a window's documents to the names of their rows."""
        begin = np.searchsorted(held.offsets, np.maximum(first[rows] - at, 0), side="right") - 1
        end = np.searchsorted(held.offsets, np.minimum(stop[rows] - at, len(held.tokens)), side="left")
        for row, a, b in zip(rows.tolist(), begin.tolist(), end.tolist(), strict=True):
            out["names"][int(into[row])] += held.names.slice(a, b - a).to_pylist()  # type: ignore[union-attr]


def number_documents(begins: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(b, L) True where a document begins -> (b, L) int32: 0, 0, .. 1, 1, .. in each row, whatever its first flag."""
    begins[:, 0] = True
    starts = np.flatnonzero(begins)
    number = np.arange(len(starts), dtype=np.int32)
    rows = np.flatnonzero(starts % begins.shape[1] == 0)
    number -= np.repeat(rows, np.diff(rows, append=len(starts))).astype(np.int32)
    return np.repeat(number, np.diff(starts, append=begins.size)).reshape(begins.shape)
