"""A stream: the rows of one source, epoch after epoch, each row to be had by its number.

The number of rows of an epoch is known before reading. So a mixture maps every global row to a row of a source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.models.data.codes import Codes
from speechprep.models.data.folder import Folder
from speechprep.models.data.order import Epoch, source_key
from speechprep.models.data.source import Source
from speechprep.tokenizers.arrays.ragged import Ints


class Stream(ABC):
    """Rows of a source.

    Attributes:
        rows: of an epoch.
        tokens: of an epoch, padding not counted.
        sizes: (n,) of its pieces, in the unit of `Epoch`.
        identity: everything with an influence on the order, for a reader's state.
    """

    rows: int
    tokens: int
    sizes: Ints

    def __init__(self, source: Source, folder: Folder, context: int, codes: Codes, seed: int, window: int) -> None:
        self.source, self.folder, self.context, self.codes, self.window = source, folder, context, codes, window
        self.identity: dict[str, Any] = {
            "content": folder.made.content,
            "kinds": None if source.kinds is None else sorted(source.kinds),
            "documents": source.documents if folder.kind == "tokens" else None,
            "part": None if source.part is None else [source.part, source.validation, source.group],
        }
        self.key = source_key(seed, repr(sorted(self.identity.items())))
        self._epoch: tuple[int, Epoch] | None = None
        self._window: tuple[int, int, Any] | None = None

    def fill(self, numbers: Ints, into: Ints, out: Any) -> None:
        """Put rows `numbers` (n,), ascending, counted over all epochs, at `into` (n,) of a batch's arrays."""
        epochs, within = np.divmod(numbers, self.rows)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            self.fill_from(epoch, within[here], into[here], out)

    @abstractmethod
    def fill_from(self, epoch: int, numbers: Ints, into: Ints, out: Any) -> None:
        """The same for rows of one epoch."""

    @abstractmethod
    def load(self, order: Epoch, window: int) -> Any:
        """Content of a window, for `fill_from`."""

    def order(self, epoch: int) -> Epoch:
        """The order of an epoch; the last one asked for is kept."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, Epoch.of(self.key, epoch, self.sizes, self.window_size())
        return self._epoch[1]

    @abstractmethod
    def window_size(self) -> int:
        """Size of a window, in the unit of `sizes`."""

    def held(self, epoch: int, window: int) -> Any:
        """A window as `load` gives it; the last one asked for is kept."""
        if self._window is None or self._window[:2] != (epoch, window):
            self._window = None  # before the next one is loaded: two would be twice the memory
            self._window = epoch, window, self.load(self.order(epoch), window)
        return self._window[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_window": None, "_epoch": None}


def place(out: NDArray[Any], into: Ints, values: NDArray[Any]) -> None:
    """`out[into] = values`, without an index where `into` has no gaps."""
    first, last = int(into[0]), int(into[-1])
    if last - first + 1 == len(into):
        out[first : last + 1] = values
    else:
        out[into] = values


def nothing_taken(source: Source) -> str:
    """Message for an empty source."""
    wanted = [] if source.kinds is None else [f"kinds {', '.join(source.kinds)}"]
    wanted += [] if source.part is None else [f"part {source.part!r} with validation={source.validation:g}"]
    return f"{source.folder} has no documents" + (f" of {' and '.join(wanted)}" if wanted else "")
