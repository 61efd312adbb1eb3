"""SentencePiece models over units and over text: arrays in, ids out, and back without loss.

`UnitSubword` works on flat arrays with offsets. A call of SentencePiece for each word would cost more than its work, so
many segments are joined to one string by a line break, which is part of no piece: for BPE that gives exactly the ids of
each segment alone, since nothing joins across it. (Unigram sums scores along the string, and their rounding depends on
what went before, so there each segment is encoded on its own.)

`TextSubword` encodes a string exactly as given: nothing is normalised, no space is added or removed, and what is in no
piece becomes bytes. A span of words is encoded with a space before each word; so spans add up to the transcript, and a
word has the same pieces wherever its span begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, StaleArtifact
from speechprep.tokenizers.arrays.ragged import offsets_of, ranges
from speechprep.tokenizers.subword import spm_proto
from speechprep.tokenizers.subword.chunks import ChunkEncoder
from speechprep.tokenizers.subword.unit_text import from_texts, to_codepoints, to_texts, unit_dtype

_UNKNOWN = 0  # id of the unknown piece in every model trained here
_SEPARATOR = 0x0A
_JOINED = 1_000  # characters in one call: longer strings leave the processor's cache, shorter ones pay for the call


def _processor(path: str | Path) -> tuple[Any, bytes]:
    import sentencepiece

    try:
        model = Path(path).read_bytes()
        return sentencepiece.SentencePieceProcessor(model_proto=model), model
    except FileNotFoundError as error:
        raise StaleArtifact(f"no SentencePiece model at {str(path)!r}; run the stage 'subword' again") from error
    except RuntimeError as error:  # what SentencePiece raises on bytes that it cannot parse
        raise StaleArtifact(f"{str(path)!r} is not a SentencePiece model: {error}") from error


def _texts(pieces: list[spm_proto.Piece]) -> tuple[list[str], list[str]]:
    """The texts of all pieces, and of those that are made of others, best first."""
    merged = [piece for piece in pieces if piece.kind == spm_proto.NORMAL and len(piece.text) > 1]
    merged.sort(key=lambda piece: -piece.score)
    return [piece.text for piece in pieces], [piece.text for piece in merged]


class UnitSubword:
    """A SentencePiece model over units.

    Attributes:
        k: units of the codebook; each of them is a piece, so every sequence of units has an encoding.
        size: pieces of the model, the unknown piece (id 0, never given) included.
        pieces: text of each piece, by id.
        merged: pieces of two units and more, best first.
        algorithm: "bpe" or "unigram".
        model: the bytes of the model file.
    """

    def __init__(self, processor: Any, model: bytes) -> None:
        self._processor = processor
        self.model = model
        pieces = spm_proto.read_pieces(model)
        self.pieces, self.merged = _texts(pieces)
        self.size = len(pieces)
        self.algorithm = spm_proto.algorithm(model)
        units, offsets = from_texts(["" if piece.kind == spm_proto.UNKNOWN else piece.text for piece in pieces])
        self._starts, self._lengths = offsets[:-1], np.diff(offsets)
        self.k = int(units.max(initial=0)) + 1
        self._units = units.astype(unit_dtype(self.k))
        single = units[self._starts[self._lengths == 1]]
        if len(np.unique(single)) != self.k:
            raise StaleArtifact(f"a model over units holds {len(single)} single units, needed are all {self.k}")
        bpe = self.algorithm == "bpe"
        self._chunks = ChunkEncoder(self.k, (self._units, offsets), self._joined) if bpe else None

    @classmethod
    def load(cls, path: str | Path) -> UnitSubword:
        """Reads a model file that `train_units` wrote.

        Raises:
            StaleArtifact: no file there, or not a model over units.
        """
        try:
            return cls(*_processor(path))
        except ConfigError as error:  # a piece that is not of units
            raise StaleArtifact(f"{str(path)!r} is not a model over units: {error}") from error

    def encode(self, units: NDArray[Any]) -> NDArray[np.int32]:
        """(n,) units -> (m,) ids."""
        return self.encode_ragged(units, np.array([0, len(units)], dtype=np.int64))[0]

    def encode_ragged(
        self, flat: NDArray[Any], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Encodes many segments, each on its own.

        Args:
            flat: (n,) units of all segments; repeats are legal, but the models are trained without them.
            offsets: (s + 1,) int64 from 0 to n; segments may be empty.

        Returns:
            ids (m,) int32 and the offsets (s + 1,) of the same segments in them.

        Raises:
            StaleArtifact: a unit that the model does not know.
        """
        if len(flat) and flat.max() >= self.k:
            raise StaleArtifact(f"unit {flat.max()}, but the subword model knows units below {self.k} only")
        if self._chunks is not None:
            return self._chunks(flat, offsets)
        parts = self._processor.encode(to_texts(flat, offsets), out_type="numpy", num_threads=1)
        ids = np.concatenate([np.empty(0, dtype=np.int32), *parts])
        return ids, offsets_of(np.array([*map(len, parts)], dtype=np.int64))

    def _joined(self, flat: NDArray[Any], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """`encode_ragged` of segments none of which is empty, with BPE."""
        ends = offsets[1:] + np.arange(1, len(offsets))  # of each segment and its separator in the string
        points = np.full(len(flat) + len(ends), _SEPARATOR, dtype="<u4")
        inside = np.ones(len(points), dtype=bool)
        inside[ends - 1] = False
        points[inside] = to_codepoints(flat)
        text = points.tobytes().decode("utf-32-le")
        cuts = np.searchsorted(ends, np.arange(_JOINED, len(points), _JOINED))
        edges = np.unique(np.concatenate([[0], ends[cuts], ends[-1:]])).tolist()
        encode = self._processor.encode_as_numpy
        parts = [encode(text[a:b]) for a, b in pairwise(edges)]
        ids = np.concatenate([np.empty(0, dtype=np.int32), *parts])
        separators = np.flatnonzero(ids == _UNKNOWN)
        return np.delete(ids, separators), np.append(0, separators - np.arange(len(separators)))

    def decode(self, ids: NDArray[np.integer[Any]] | Sequence[int]) -> NDArray[Any]:
        """(m,) ids -> (n,) units, uint16 (uint32 where k > 65,536): the exact inverse of `encode`."""
        ids = np.asarray(ids, dtype=np.int64)
        return self.decode_ragged(ids, np.array([0, len(ids)], dtype=np.int64))[0]

    def decode_ragged(
        self, ids: NDArray[np.integer[Any]], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """ids (m,), offsets (s + 1,) -> units (n,), offsets (s + 1,).

        Raises:
            StaleArtifact: an id that is no piece of units.
        """
        if len(ids) and not (ids.min() > _UNKNOWN and ids.max() < self.size):
            raise StaleArtifact(f"ids {ids.min()} to {ids.max()}, but pieces of units are 1 to {self.size - 1}")
        lengths = self._lengths[ids]
        return self._units[ranges(self._starts[ids], lengths)], offsets_of(lengths)[offsets]


class TextSubword:
    """A SentencePiece model over text. Attributes as of `UnitSubword`; the pieces of bytes are <0x00> to <0xFF>."""

    def __init__(self, processor: Any, model: bytes) -> None:
        self._processor = processor
        self.model = model
        self.pieces, self.merged = _texts(spm_proto.read_pieces(model))
        self.size = len(self.pieces)

    @classmethod
    def load(cls, path: str | Path) -> TextSubword:
        """Reads a model file that `train_text` wrote.

        Raises:
            StaleArtifact: no file there, or not a model.
        """
        return cls(*_processor(path))

    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """s strings, each encoded on its own and exactly as given -> ids (m,) int32, offsets (s + 1,)."""
        parts = self._processor.encode(list(texts), out_type="numpy", num_threads=1)
        ids = np.concatenate([np.empty(0, dtype=np.int32), *parts])
        return ids, offsets_of(np.array([*map(len, parts)], dtype=np.int64))

    def decode(self, ids: NDArray[np.integer[Any]] | Sequence[int]) -> str:
        """(m,) ids -> string: the exact inverse of encoding."""
        return str(self._processor.decode([int(i) for i in ids]))
