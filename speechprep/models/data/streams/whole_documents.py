"""The stream of a `tokens` folder with whole documents: best fit, or one document in each row; rows are padded.

A piece is a few neighbouring row groups. Its documents are packed in an order of hashes: once when the stream is
opened, to count the rows, and again when the piece is read. The rows are the same in each epoch; their order changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from speechprep.errors import ConfigError
from speechprep.models.data.documents import DocumentSelector
from speechprep.models.data.folder import Folder
from speechprep.models.data.order import permutation
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import empty_source_message
from speechprep.models.data.streams.rows import Rows, RowStream, shaped
from speechprep.models.data.vocabulary import VocabularyMetadata
from speechprep.tokenizers.arrays.keyed_random import salted
from speechprep.tokenizers.packing import DocumentBatch, Layout, best_fit, cut_long

PIECE_TOKENS = 1 << 20
_PACKING_SALT = 1 << 40  # above any epoch number, so the keys of epochs and of packing differ


class WholeDocumentStream(RowStream):
    """Stream of whole documents. A piece is a run of row groups with about `PIECE_TOKENS` tokens.

    Raises:
        ConfigError: the selection has no document, or one is longer than the context and `long` is "refuse".
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
        self.selector = DocumentSelector(folder, source, names=True)
        self.with_names = names
        self.layout = Layout(context, vocabulary.pad, vocabulary.modality)
        number = (np.cumsum(folder.tokens) - folder.tokens) // PIECE_TOKENS
        self.groups = np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1)
        sizes, self.tokens = [], 0
        for piece in range(len(self.groups)):
            documents, bins = self._fit(piece)
            sizes.append(len(bins))
            self.tokens += int(documents.lengths.sum())
        if not self.tokens:
            raise ConfigError(empty_source_message(source))
        nonempty = np.array(sizes) > 0
        self.groups = [group for group, keep in zip(self.groups, nonempty.tolist(), strict=True) if keep]
        self.sizes = np.array(sizes, np.int64)[nonempty]
        self.rows = int(self.sizes.sum())

    def make(self, pieces: Sequence[int]) -> Rows:
        """Read and pack rows, see `RowStream`."""
        batches = [self.layout.padded_rows(*self._fit(piece)) for piece in pieces]
        tokens, documents = (
            np.concatenate([shaped(b.column(name), self.context) for b in batches])
            for name in ("input_ids", "document_ids")
        )
        names = pa.concat_arrays([b.column("ids") for b in batches]) if self.with_names else None
        return Rows(tokens, documents, names)

    def _fit(self, piece: int) -> tuple[DocumentBatch, Sequence[Sequence[int]]]:
        groups = self.groups[piece].tolist()
        spans = self.selector.load(groups)
        order = permutation(salted(self.key, _PACKING_SALT + groups[0]), len(spans.lengths))
        documents = DocumentBatch(spans.names.take(order), spans.gather(order), spans.lengths[order])  # type: ignore[union-attr]
        if len(order) and documents.lengths.max() > self.context and self.source.long == "refuse":
            which = int(documents.lengths.argmax())
            raise ConfigError(
                f"{self.folder.uri}: the document {documents.names[which].as_py()!r} has "
                f"{int(documents.lengths[which])} tokens, the context is {self.context}; "
                "set a longer context, long='cut' or documents='split'"
            )
        pieces, continued = cut_long(documents, self.context)
        if self.source.documents == "single":
            return pieces, [[i] for i in range(len(pieces.lengths))]
        return pieces, best_fit(pieces.lengths, continued, self.context)
