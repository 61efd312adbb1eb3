"""The stream of a `tokens` folder with whole documents: best fit, or one document a row; rows are padded.

Documents are fitted within pieces of some neighbouring row groups, in an order of hashes; that is done once when the
stream is opened, to know the rows, and again for a piece when it is read. So the rows are the same in each epoch and
only their order changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from speechprep.errors import ConfigError
from speechprep.models.data.codes import Codes
from speechprep.models.data.documents import Picker
from speechprep.models.data.folder import Folder
from speechprep.models.data.order import permutation
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import nothing_taken
from speechprep.models.data.streams.rowed import RowedStream, Rows, shaped
from speechprep.tokenizers.arrays.keyed_random import salted
from speechprep.tokenizers.packing import DocumentBatch, Layout, best_fit, cut_long

PIECE_TOKENS = 1 << 20
_FIXED = 1 << 40  # salt: no epoch has this number


class FittedStream(RowedStream):
    """See the module's text. A piece is a run of row groups with about `PIECE_TOKENS` tokens.

    Raises:
        ConfigError: no document is taken, or one is longer than the context and `long` is "refuse".
    """

    def __init__(
        self, source: Source, folder: Folder, context: int, codes: Codes, seed: int, window: int, *, names: bool
    ) -> None:
        super().__init__(source, folder, context, codes, seed, window)
        self.picker = Picker(folder, source, names=True)
        self.with_names = names
        self.layout = Layout(context, codes.pad, codes.modality)
        number = (np.cumsum(folder.tokens) - folder.tokens) // PIECE_TOKENS
        self.groups = np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1)
        sizes, self.tokens = [], 0
        for piece in range(len(self.groups)):
            documents, bins = self._fit(piece)
            sizes.append(len(bins))
            self.tokens += int(documents.lengths.sum())
        if not self.tokens:
            raise ConfigError(nothing_taken(source))
        full = np.array(sizes) > 0
        self.groups = [group for group, has in zip(self.groups, full.tolist(), strict=True) if has]
        self.sizes = np.array(sizes, np.int64)[full]
        self.rows = int(self.sizes.sum())

    def make(self, pieces: Sequence[int]) -> Rows:
        """See `RowedStream`."""
        batches = [self.layout.padded_rows(*self._fit(piece)) for piece in pieces]
        tokens, documents = (
            np.concatenate([shaped(b.column(name), self.context) for b in batches])
            for name in ("input_ids", "document_ids")
        )
        names = pa.concat_arrays([b.column("ids") for b in batches]) if self.with_names else None
        return Rows(tokens, documents, names)

    def _fit(self, piece: int) -> tuple[DocumentBatch, Sequence[Sequence[int]]]:
        groups = self.groups[piece].tolist()
        found = self.picker.load(groups)
        order = permutation(salted(self.key, _FIXED + groups[0]), len(found.lengths))
        documents = DocumentBatch(found.names.take(order), found.taken(order), found.lengths[order])  # type: ignore[union-attr]
        if len(order) and documents.lengths.max() > self.context and self.source.long == "refuse":
            which = int(documents.lengths.argmax())
            raise ConfigError(
                f"{self.folder.uri}: the document {documents.names[which].as_py()!r} has "
                f"{int(documents.lengths[which])} tokens, the context is {self.context}; "
                "take a longer context, or long='cut', or documents='split'"
            )
        pieces, goes_on = cut_long(documents, self.context)
        if self.source.documents == "single":
            return pieces, [[i] for i in range(len(pieces.lengths))]
        return pieces, best_fit(pieces.lengths, goes_on, self.context)
