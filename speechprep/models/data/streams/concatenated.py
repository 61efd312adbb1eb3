"""The stream of a `tokens` folder with concatenated documents (`documents="split"`).

Each epoch shuffles the documents and puts them end to end; row i holds tokens i * context to (i + 1) * context. The
number of rows is therefore the same in each epoch, and only the last row has padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.models.data.documents import DocumentSelector
from speechprep.models.data.folder import Folder
from speechprep.models.data.order import Epoch
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import Stream, empty_source_message, place
from speechprep.models.data.vocabulary import VocabularyMetadata
from speechprep.tokenizers.arrays.ragged import Ints, offsets_of


@dataclass(frozen=True, slots=True)
class _Window:
    tokens: NDArray[np.int32]  # (t,) tokens of the window
    begins: NDArray[np.bool_]  # (t,) True at the first token of a document
    offsets: Ints  # (d + 1,) boundaries of the documents
    names: pa.StringArray | None


class ConcatenatedStream(Stream):
    """Stream of concatenated documents. A piece is a row group; `sizes` counts its selected tokens.

    Raises:
        ConfigError: the selection has no document.
    """

    def __init__(
        self,
        source: Source,
        folder: Folder,
        context: int,
        vocabulary: VocabularyMetadata,
        seed: int,
        window: int,
        *,
        names: bool,
    ) -> None:
        super().__init__(source, folder, context, vocabulary, seed, window)
        self.selector = DocumentSelector(folder, source, names=names)
        if self.selector.selects_all:
            tokens = folder.tokens
        else:
            tokens = np.array([int(self.selector.load([g]).lengths.sum()) for g in range(len(folder.rows))], np.int64)
        self.groups = np.flatnonzero(tokens)
        if not len(self.groups):
            raise ConfigError(empty_source_message(source))
        self.sizes = tokens[self.groups]
        self.tokens = int(self.sizes.sum())
        self.rows = -(-self.tokens // context)

    def window_size(self) -> int:
        """Size of a window in tokens."""
        return self.window

    def load(self, order: Epoch, window: int) -> _Window:
        """Documents of a window, shuffled and put end to end."""
        spans = self.selector.load(self.groups[order.pieces(window)].tolist())
        by = order.within(window, len(spans.lengths))
        offsets = offsets_of(spans.lengths[by])
        begins = np.zeros(int(offsets[-1]), bool)
        begins[offsets[:-1]] = True
        return _Window(
            spans.gather(by), begins, offsets, None if spans.names is None else spans.names.take(pa.array(by))
        )

    def fill_from(self, epoch: int, numbers: Ints, into: Ints, out: Any) -> None:
        """Copy rows of one epoch, see `Stream`."""
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
            content, at = self.window_content(epoch, window), int(order.at[window])
            if len(whole):
                starts = first[whole] - at
                place(tokens, whole, sliding_window_view(content.tokens, length)[starts])
                place(begins, whole, sliding_window_view(content.begins, length)[starts])
            for row in parts.tolist():
                a, b = max(int(first[row]) - at, 0), min(int(stop[row]) - at, len(content.tokens))
                to = slice(a + at - int(first[row]), b + at - int(first[row]))
                tokens[row, to], begins[row, to] = content.tokens[a:b], content.begins[a:b]
            if content.names is not None:
                self._name(content, at, first, stop, np.concatenate([whole, parts]), into, out)
        documents = number_documents(begins)
        if numbers[-1] == self.rows - 1:
            last_length = int(stop[-1] - first[-1])
            tokens[-1, last_length:], documents[-1, last_length:] = self.vocabulary.pad, -1
        place(out["input_ids"], into, tokens)
        place(out["document_ids"], into, documents)
        place(out["samples"], into, numbers)

    @staticmethod
    def _name(content: _Window, at: int, first: Ints, stop: Ints, rows: Ints, into: Ints, out: Any) -> None:
        """Add the names of a window's documents to the names of their rows."""
        begin = np.searchsorted(content.offsets, np.maximum(first[rows] - at, 0), side="right") - 1
        end = np.searchsorted(content.offsets, np.minimum(stop[rows] - at, len(content.tokens)), side="left")
        for row, a, b in zip(rows.tolist(), begin.tolist(), end.tolist(), strict=True):
            out["names"][int(into[row])] += content.names.slice(a, b - a).to_pylist()  # type: ignore[union-attr]


def number_documents(begins: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(b, L) True at the first token of a document -> (b, L) int32 document ids 0, 0, .. 1, 1, .. in each row.

    Each row starts with document 0, also if its first flag is False.
    """

    begins[:, 0] = True
    starts = np.flatnonzero(begins)
    number = np.arange(len(starts), dtype=np.int32)
    rows = np.flatnonzero(starts % begins.shape[1] == 0)
    number -= np.repeat(rows, np.diff(rows, append=len(starts))).astype(np.int32)
    return np.repeat(number, np.diff(starts, append=begins.size)).reshape(begins.shape)
