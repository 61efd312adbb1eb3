"""The stream of a `packed` folder: its rows as stored.

The modality of a token follows from its id, because a look-up is faster than decoding a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.errors import ConfigError, SchemaMismatch
from speechprep.models.data.folder import Folder
from speechprep.models.data.source import Source
from speechprep.models.data.streams.rows import Rows, RowStream, shaped
from speechprep.models.data.vocabulary import VocabularyMetadata

_BATCH_ROWS = 64  # decoded at a time; they fit the CPU cache


class PackedStream(RowStream):
    """Rows of `packed`. A piece is a row group.

    Raises:
        ConfigError: rows of another length than the context.
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
        self.folder = folder
        self.sizes = folder.rows
        self.rows = int(folder.rows.sum())
        self.names = names
        self._tokens, self._documents = (np.empty((0, context), np.int32) for _ in range(2))
        other = np.flatnonzero(folder.tokens != folder.rows * context)
        stated = folder.manifest.extra.get("context", context)
        if stated != context or len(other):
            length = stated if stated != context else f"{folder.tokens[other[0]] / folder.rows[other[0]]:g}"
            where = folder.uri if stated != context else folder.place(int(other[0]))
            raise ConfigError(
                f"{where}: rows of {length} tokens, but the context is {context}; pack with context={context}, "
                "or set the context to the length of the rows"
            )
        self.tokens = int(folder.manifest.counters.get("tokens", folder.tokens.sum()))

    def make(self, pieces: Sequence[int]) -> Rows:
        """Read rows, see `RowStream`."""
        n = int(self.sizes[list(pieces)].sum())
        if self._tokens.shape[0] < n:
            self._tokens, self._documents = (np.empty((n, self.context), np.int32) for _ in range(2))
        names, at = [], 0
        for piece in pieces:
            rows = slice(at, at + int(self.sizes[piece]))
            at = rows.stop
            columns = {"input_ids": self._tokens[rows], "document_ids": self._documents[rows]}
            slow = [column for column, into in columns.items() if not self.folder.fixed(piece, column, into)]
            slow += ["ids"] if self.names else []
            done = 0
            for batch in self.folder.batches(piece, slow, _BATCH_ROWS) if slow else ():
                for column in slow[: len(slow) - self.names]:
                    columns[column][done : done + batch.num_rows] = self._shaped(batch.column(column), column, piece)
                if self.names:
                    names.append(batch.column("ids"))
                done += batch.num_rows
        return Rows(self._tokens[:n], self._documents[:n], pa.concat_arrays(names) if self.names else None)

    def _shaped(self, lists: pa.ListArray, column: str, piece: int) -> NDArray[np.int32]:
        lengths = np.diff(np.asarray(lists.offsets))
        wrong = np.flatnonzero(lengths != self.context)
        if len(wrong):
            raise SchemaMismatch(
                f"{self.folder.place(piece)}: {column} of a row has {int(lengths[wrong[0]])} values, the context is "
                f"{self.context}; pack again"
            )
        return shaped(lists, self.context)

    def __getstate__(self) -> dict[str, Any]:
        empty = np.empty((0, self.context), np.int32)
        return {**super().__getstate__(), "_tokens": empty, "_documents": empty}
