"""Documents of a `tokens` folder: selection by kind and by validation split, and reading of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.models.data.folder import Folder
from speechprep.models.data.source import Source
from speechprep.models.split import held_out
from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.arrays.ragged import Ints

_BATCH_ROWS = 2048  # rows decoded at a time


@dataclass(frozen=True, slots=True)
class DocumentSpans:
    """Selected documents of one or several row groups, as spans of a token buffer. No document is empty.

    Attributes:
        values: (t,) tokens of all rows of the row groups, selected or not.
        starts, lengths: (n,) spans of the documents in `values`.
        names: (n,) "<utterance id>#<kind>"; None without `names=True`.
    """

    values: NDArray[np.int32]
    starts: Ints
    lengths: Ints
    names: pa.StringArray | None

    def gather(self, order: Ints) -> NDArray[np.int32]:
        """Tokens of the documents in the order (n,), end to end."""
        return ragged.gather(self.values, self.starts[order], self.lengths[order])


class DocumentSelector:
    """Selects and reads the documents of a source.

    Args:
        folder: an open `tokens` folder.
        source: kinds and validation split to select.
        names: True to read the document names as well.
    """

    def __init__(self, folder: Folder, source: Source, *, names: bool) -> None:
        self.folder, self.source, self.names = folder, source, names
        self.by_kind, self.by_id = source.kinds is not None, source.part is not None or names
        self._buffer = np.empty(0, np.int32)

    @property
    def selects_all(self) -> bool:
        """True if the source selects every document."""
        return self.source.kinds is None and self.source.part is None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_buffer": np.empty(0, np.int32)}

    def load(self, groups: Sequence[int]) -> DocumentSpans:
        """Selected documents of row groups, in order. The result is valid until the next call."""
        total = int(self.folder.tokens[list(groups)].sum())
        if len(self._buffer) < total:
            self._buffer = np.empty(total, np.int32)
        columns = ["input_ids", *(["kind"] if self.by_kind or self.names else []), *(["id"] if self.by_id else [])]
        starts, lengths, names, at = [], [], [], 0
        for group in groups:
            for batch in self.folder.batches(group, columns, _BATCH_ROWS):
                values, offsets = ragged.of_arrow(batch.column("input_ids"))
                self._buffer[at : at + len(values)] = np.asarray(values)
                index, mask = self._selection(batch, np.diff(offsets))
                starts.append(offsets[:-1][index] + at)
                lengths.append(np.diff(offsets)[index])
                if self.names:
                    batch_names = pc.binary_join_element_wise(batch.column("id"), batch.column("kind"), "#")
                    names.append(batch_names if mask is None else batch_names.filter(mask))
                at += len(values)
        return DocumentSpans(
            self._buffer[:at],
            np.concatenate(starts),
            np.concatenate(lengths),
            pa.concat_arrays(names) if self.names else None,
        )

    def _selection(
        self, batch: pa.RecordBatch, lengths: Ints
    ) -> tuple[NDArray[np.bool_] | slice, pa.BooleanArray | None]:
        """The selected rows, as a NumPy index and as an Arrow mask (None for all rows)."""
        keep = lengths > 0
        if self.by_kind:
            kinds = pa.array(self.source.kinds, pa.string())
            keep &= np.asarray(pc.is_in(batch.column("kind"), kinds))
        if self.source.part is not None:
            keep &= self._on_side(batch.column("id"))
        return (slice(None), None) if keep.all() else (keep, pa.array(keep))

    def _on_side(self, ids: pa.StringArray) -> NDArray[np.bool_]:
        """(n,) True for rows on the source's side of the validation split."""
        encoded = ids.dictionary_encode()
        validation = held_out(encoded.dictionary.to_pylist(), self.source.validation, self.source.group)
        return np.take(validation if self.source.part == "validation" else ~validation, np.asarray(encoded.indices))
