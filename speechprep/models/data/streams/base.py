"""Base class of streams: random access to the rows of one source, by number over all epochs.

The number of rows of an epoch is fixed before reading, so a mixture maps every global row to a row of a source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.models.data.folder import Folder
from speechprep.models.data.order import Epoch, source_key
from speechprep.models.data.source import Source
from speechprep.models.data.vocabulary import VocabularyMetadata
from speechprep.tokenizers.arrays.ragged import Ints


class Stream(ABC):
    """Rows of one source.

    Attributes:
        rows: rows of an epoch.
        tokens: tokens of an epoch, without padding.
        sizes: (n,) size of each piece (row group), in the unit of `Epoch`.
        identity: all parameters of the order, for the state of a reader.
    """

    rows: int
    tokens: int
    sizes: Ints

    def __init__(
        self,
        source: Source,
        folder: Folder | None,
        context: int,
        vocabulary: VocabularyMetadata,
        seed: int,
        window: int,
    ) -> None:
        self.source, self.context, self.vocabulary, self.window = source, context, vocabulary, window
        self.identity: dict[str, Any] = {
            "content": None if folder is None else folder.manifest.content,
            "kinds": None if source.kinds is None else sorted(source.kinds),
            "documents": source.documents if folder is None or folder.kind == "tokens" else None,
            "part": None if source.part is None else [source.part, source.validation, source.group],
        }
        self.key = source_key(seed, repr(sorted(self.identity.items())))
        self._cached_epoch: tuple[int, Epoch] | None = None
        self._cached_window: tuple[int, int, Any] | None = None

    def fill(self, numbers: Ints, into: Ints, out: Any) -> None:
        """Copy rows to the arrays of a batch.

        Args:
            numbers: (n,) ascending row numbers, counted over all epochs.
            into: (n,) rows of the batch.
            out: the arrays of the batch.
        """
        epochs, within = np.divmod(numbers, self.rows)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            self.fill_from(epoch, within[here], into[here], out)

    @abstractmethod
    def fill_from(self, epoch: int, numbers: Ints, into: Ints, out: Any) -> None:
        """`fill` for rows of one epoch."""

    @abstractmethod
    def load(self, order: Epoch, window: int) -> Any:
        """Content of a window, for `fill_from`."""

    def order(self, epoch: int) -> Epoch:
        """The order of an epoch. The latest one is cached."""
        if self._cached_epoch is None or self._cached_epoch[0] != epoch:
            self._cached_epoch = epoch, Epoch.of(self.key, epoch, self.sizes, self.window_size())
        return self._cached_epoch[1]

    @abstractmethod
    def window_size(self) -> int:
        """Size of a window, in the unit of `sizes`."""

    def window_content(self, epoch: int, window: int) -> Any:
        """The content of a window from `load`. The latest one is cached."""
        if self._cached_window is None or self._cached_window[:2] != (epoch, window):
            self._cached_window = None  # freed before loading: two windows would double the memory
            self._cached_window = epoch, window, self.load(self.order(epoch), window)
        return self._cached_window[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cached_window": None, "_cached_epoch": None}


def place(out: NDArray[Any], into: Ints, values: NDArray[Any]) -> None:
    """`out[into] = values`, as a faster slice if `into` is contiguous."""

    first, last = int(into[0]), int(into[-1])
    if last - first + 1 == len(into):
        out[first : last + 1] = values
    else:
        out[into] = values


def empty_source_message(source: Source) -> str:
    """Error message for a source without documents."""
    selection = [] if source.kinds is None else [f"kinds {', '.join(source.kinds)}"]
    selection += [] if source.part is None else [f"part {source.part!r} with validation={source.validation:g}"]
    suffix = f" of {' and '.join(selection)}; change the selection" if selection else "; name another folder"
    return f"{source.folder} has no documents{suffix}"
