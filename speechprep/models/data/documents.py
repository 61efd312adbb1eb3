"""Documents of `tokens`: the selection of a source from a row group."""

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

_DOCUMENTS = 2048  # rows decoded at a time


@dataclass(frozen=True, slots=True)
class Docs:
    """Documents of one or several row groups, none of them empty.

    Attributes:
        values: tokens of all rows, with the unselected ones.
        starts, lengths: (n,) where the documents lie in `values`.
        names: (n,) "<utterance id>#<kind>"; None where they were not asked for.
    """

    values: NDArray[np.int32]
    starts: Ints
    lengths: Ints
    names: pa.StringArray | None

    def taken(self, order: Ints) -> NDArray[np.int32]:
        """Their tokens, end to end, in an order (n,)."""
        return ragged.gather(self.values, self.starts[order], self.lengths[order])


class Picker:
    """Selection and reading of a source's documents.

    Args:
        names: read the names as well.
    """

    def __init__(self, folder: Folder, source: Source, *, names: bool) -> None:
        self.folder, self.source, self.names = folder, source, names
        self.by_kind, self.by_id = source.kinds is not None, source.part is not None or names
        self._buffer = np.empty(0, np.int32)

    @property
    def takes_all(self) -> bool:
        """Nothing is left out."""
        return self.source.kinds is None and self.source.part is None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_buffer": np.empty(0, np.int32)}

    def load(self, groups: Sequence[int]) -> Docs:
        """Selected documents of row groups, in order. The result is valid until the next call."""
        total = int(self.folder.tokens[list(groups)].sum())
        if len(self._buffer) < total:
            self._buffer = np.empty(total, np.int32)
        wanted = ["input_ids", *(["kind"] if self.by_kind or self.names else []), *(["id"] if self.by_id else [])]
        starts, lengths, names, at = [], [], [], 0
        for group in groups:
            for batch in self.folder.batches(group, wanted, _DOCUMENTS):
                values, offsets = ragged.of_arrow(batch.column("input_ids"))
                self._buffer[at : at + len(values)] = np.asarray(values)
                taken, kept = self._taken(batch, np.diff(offsets))
                starts.append(offsets[:-1][taken] + at)
                lengths.append(np.diff(offsets)[taken])
                if self.names:
                    named = pc.binary_join_element_wise(batch.column("id"), batch.column("kind"), "#")
                    names.append(named if kept is None else named.filter(kept))
                at += len(values)
        return Docs(
            self._buffer[:at],
            np.concatenate(starts),
            np.concatenate(lengths),
            pa.concat_arrays(names) if self.names else None,
        )

    def _taken(self, batch: pa.RecordBatch, lengths: Ints) -> tuple[NDArray[np.bool_] | slice, pa.BooleanArray | None]:
        """The selected rows, as an index of NumPy and as a mask of Arrow (None: all)."""
        keep = lengths > 0
        if self.by_kind:
            kinds = pa.array(self.source.kinds, pa.string())
            keep &= np.asarray(pc.is_in(batch.column("kind"), kinds))
        if self.source.part is not None:
            keep &= self._on_side(batch.column("id"))
        return (slice(None), None) if keep.all() else (keep, pa.array(keep))

    def _on_side(self, ids: pa.StringArray) -> NDArray[np.bool_]:
        """(n,) True for rows on the source's side of the split."""
        coded = ids.dictionary_encode()
        out = held_out(coded.dictionary.to_pylist(), self.source.validation, self.source.group)
        return np.take(out if self.source.part == "validation" else ~out, np.asarray(coded.indices))
