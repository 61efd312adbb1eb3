"""The stream of a run with rows rendered as they are read: each utterance once an epoch, drawn anew in each epoch.

A piece is a shard of `units`. Its utterances are placed in rows once, when the stream is opened, by the lengths of a
trial rendering. Rows of kinds with random lengths (`ast`) are filled to `FILL` of the context. In an epoch each
utterance is rendered anew. A row that is then too long is drawn again, up to `TRIES` times; after that it has the trial
rendering, which fits. So the number of rows of an epoch is fixed, as that of stored rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.models.data.order import Epoch, permutation, source_key
from speechprep.models.data.rendering import RunReader, check_kinds_given
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import empty_source_message
from speechprep.models.data.streams.rows import Rows, RowStream, Window
from speechprep.models.data.vocabulary import VocabularyMetadata
from speechprep.models.split import held_out
from speechprep.tokenizers.arrays.keyed_random import Hashes, salted
from speechprep.tokenizers.arrays.ragged import Ints, gather, offsets_of, ranges
from speechprep.tokenizers.interleave.render import KINDS, Utterances
from speechprep.tokenizers.packing import best_fit

FILL = 0.9
TRIES = 16
_TRIAL = 0  # turn of the trial rendering
_PACKING_SALT = 1 << 40


class RenderedStream(RowStream):
    """Rows rendered from `words` and `units`.

    Raises:
        ConfigError: no kinds, no utterance, or a trial rendering longer than the context and `long` is "refuse".
        StaleArtifact: see `RunReader`.
    """

    def __init__(
        self,
        source: Source,
        context: int,
        vocabulary: VocabularyMetadata,
        seed: int,
        window: int,
        *,
        names: bool,
    ) -> None:
        kinds = check_kinds_given(source.folder, source.kinds)
        assert source.render is not None  # noqa: S101 - `open_stream` selects this class by it
        self.run = RunReader(source.folder, kinds, source.render, vocabulary, seed)
        super().__init__(source, None, context, vocabulary, seed, window)
        options = {"render": repr(source.render.options), "policy": source.render.policy}
        self.identity |= {"content": self.run.content, **options}
        self.key = source_key(seed, repr(sorted(self.identity.items())))
        self.with_names = names
        self.bins: list[tuple[Ints, Ints]] = []  # of each piece: utterances in row order, and row offsets
        self.draw_keys: list[Hashes] = []  # of the utterances in row order
        self.pieces: list[int] = []
        self.tokens = 0
        for piece in range(len(self.run)):
            order, offsets, keys, tokens = self._fit(piece)
            if len(order):
                self.draw_keys.append(keys)
                self.pieces.append(piece)
                self.bins.append((order, offsets))
                self.tokens += tokens
        if not self.tokens:
            raise ConfigError(empty_source_message(source))
        self.sizes = np.array([len(offsets) - 1 for _, offsets in self.bins], np.int64)
        self.rows = int(self.sizes.sum())

    def make(self, pieces: Sequence[int]) -> Rows:
        """Rows of the trial rendering."""
        return self._rows(pieces, None)

    def load(self, order: Epoch, window: int) -> Window:
        """Rows of a window, rendered for its epoch, and their shuffled order."""
        pieces = order.pieces(window)
        first = np.cumsum(self.sizes) - self.sizes
        samples = ranges(first[pieces], self.sizes[pieces])
        rows = self._rows(pieces.tolist(), int(order.key[0] >> np.uint64(32)))
        return Window(rows, order.within(window, len(samples)), samples)

    def _fit(self, piece: int) -> tuple[Ints, Ints, Hashes, int]:
        """Utterances of a piece in row order, row offsets, their keys, and their tokens in the trial rendering."""
        batch = self.run.piece(piece)
        chosen = np.flatnonzero(self.run.interleaver.renderable(batch) & self._on_side(batch.ids))
        chosen = chosen[permutation(salted(self.key, _PACKING_SALT + piece), len(chosen))]
        if not len(chosen):
            return chosen, np.zeros(1, np.int64), np.zeros(0, np.uint64), 0
        chosen_batch = batch.take(chosen)
        keys = self.run.interleaver.keys(chosen_batch.ids)
        _, offsets, _ = self.run.interleaver.drawn(chosen_batch, _TRIAL, keys)
        lengths = np.diff(offsets)
        long = lengths > self.context
        if long.any():
            which = int(lengths.argmax())
            if self.source.long == "refuse":
                raise ConfigError(
                    f"{self.run.uri}: {batch.ids[int(chosen[which])].as_py()!r} has {int(lengths[which])} tokens, the "
                    f"context is {self.context}; set a longer context, or drop such utterances with long='cut'"
                )
            chosen, lengths, keys = chosen[~long], lengths[~long], keys[~long]
        if self.source.documents == "single":
            return chosen, np.arange(len(chosen) + 1), keys, int(lengths.sum())
        capacity = self.context if "ast" not in self.run.interleaver.kinds else int(FILL * self.context)
        bins = best_fit(np.minimum(lengths, capacity), np.zeros(len(lengths), bool), capacity)
        order = np.concatenate([np.asarray(row, np.int64) for row in bins]) if bins else np.zeros(0, np.int64)
        offsets = offsets_of(np.array([len(row) for row in bins], np.int64))
        return chosen[order], offsets, keys[order], int(lengths.sum())

    def _on_side(self, ids: pa.StringArray) -> NDArray[np.bool_]:
        if self.source.part is None:
            return np.ones(len(ids), bool)
        validation = held_out(ids.to_pylist(), self.source.validation, self.source.group)
        return validation if self.source.part == "validation" else ~validation

    def _rows(self, pieces: Sequence[int], epoch: int | None) -> Rows:
        tokens, documents, names = [], [], []
        for piece in pieces:
            order, offsets = self.bins[piece]
            batch = self.run.piece(self.pieces[piece]).take(order)
            flat, at, kinds = self._fitting(batch, offsets, self.draw_keys[piece], epoch)
            token_rows, document_rows = self._padded(flat, at, offsets)
            tokens.append(token_rows)
            documents.append(document_rows)
            if self.with_names:
                labels = pa.array(KINDS).take(pa.array(kinds))
                named = pc.binary_join_element_wise(batch.ids, labels, "#")
                names.append(pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), named))
        return Rows(np.concatenate(tokens), np.concatenate(documents), pa.concat_arrays(names) if names else None)

    def _fitting(
        self, batch: Utterances, offsets: Ints, keys: Hashes, epoch: int | None
    ) -> tuple[NDArray[np.int32], Ints, NDArray[np.int8]]:
        """Tokens, document offsets and kinds of a rendering in which every row fits the context."""
        turn = _TRIAL if epoch is None else 1 + epoch * (TRIES + 1)
        flat, at, kinds = self.run.interleaver.drawn(batch, turn, keys)
        for again in range(1, TRIES + 1):
            long = np.flatnonzero(at[offsets[1:]] - at[offsets[:-1]] > self.context)
            if not len(long):
                break
            index = ranges(offsets[:-1][long], np.diff(offsets)[long])
            other = _TRIAL if again == TRIES else turn + again
            redrawn = self.run.interleaver.drawn(batch.take(index), other, keys[index])
            flat, at = _replaced(flat, at, index, redrawn[0], redrawn[1])
            kinds[index] = redrawn[2]
        return flat, at, kinds

    def _padded(self, flat: NDArray[np.int32], at: Ints, offsets: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(rows, context) tokens and document ids."""
        n = len(offsets) - 1
        tokens = np.full((n, self.context), self.vocabulary.pad, np.int32)
        documents = np.full((n, self.context), -1, np.int32)
        lengths = at[offsets[1:]] - at[offsets[:-1]]
        place = ranges(np.arange(n) * self.context, lengths)
        tokens.reshape(-1)[place] = flat
        number = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
        documents.reshape(-1)[place] = np.repeat(number, np.diff(at)).astype(np.int32)
        return tokens, documents


def _replaced(
    flat: NDArray[np.int32], at: Ints, index: Ints, new: NDArray[np.int32], new_at: Ints
) -> tuple[NDArray[np.int32], Ints]:
    """Documents with those of the numbers `index` replaced."""
    starts, lengths = at[:-1].copy(), np.diff(at)
    starts[index], lengths[index] = len(flat) + new_at[:-1], np.diff(new_at)
    return gather(np.concatenate([flat, new]), starts, lengths), offsets_of(lengths)
