"""SentencePiece models over units and over text: arrays -> ids and back, without loss.

`UnitSubword` encodes flat arrays with offsets. A SentencePiece call for each word would cost more than the encoding.
Many segments are therefore joined to one string by line breaks. No piece contains a line break, so with BPE the ids of
each segment equal those of the segment alone. Unigram sums scores along the string, with a rounding error dependent on
the preceding text. With unigram, each segment is encoded separately.

`TextSubword` encodes a string unchanged: no normalisation, no added or removed space, bytes for characters outside all
pieces. A span of words is encoded with a space before each word. Spans then add up to the transcript, and a word has
equal pieces at every position of its span.
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

_UNKNOWN = 0  # id of the unknown piece in every model of this package
_SEPARATOR = 0x0A
_JOINED = 1_000  # characters in one call: longer strings exceed the processor cache, shorter ones cost more calls


def _processor(path: str | Path) -> tuple[Any, bytes]:
    import sentencepiece

    try:
        model = Path(path).read_bytes()
        return sentencepiece.SentencePieceProcessor(model_proto=model), model
    except FileNotFoundError as error:
        raise StaleArtifact(f"no SentencePiece model at {str(path)!r}; run the stage 'subword' again") from error
    except RuntimeError as error:  # SentencePiece raises it for invalid bytes
        raise StaleArtifact(
            f"{str(path)!r} is not a SentencePiece model ({error}); run the stage 'subword' again"
        ) from error


def _texts(pieces: list[spm_proto.Piece]) -> tuple[list[str], list[str]]:
    """The texts of all pieces by id, and the texts of all merged pieces, best first."""
    merged = [piece for piece in pieces if piece.kind == spm_proto.NORMAL and len(piece.text) > 1]
    merged.sort(key=lambda piece: -piece.score)
    return [piece.text for piece in pieces], [piece.text for piece in merged]


class UnitSubword:
    """A SentencePiece model over units.

    Attributes:
        k: number of units of the codebook. Each unit is a piece, so every sequence of units has an encoding.
        size: number of pieces, including the unknown piece (id 0), which no encoding contains.
        pieces: text of each piece, by id.
        merged: pieces of at least two units, best first.
        algorithm: "bpe" or "unigram".
        model: bytes of the model file.
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
            raise StaleArtifact(
                f"the model over units has {len(single)} single units of {self.k}; run the stage 'subword' again"
            )
        bpe = self.algorithm == "bpe"
        self._chunks = ChunkEncoder(self.k, (self._units, offsets), self._joined) if bpe else None

    @classmethod
    def load(cls, path: str | Path) -> UnitSubword:
        """Read a model file of `train_units`.

        Raises:
            StaleArtifact: there is no file, or it is not a model over units.
        """
        try:
            return cls(*_processor(path))
        except ConfigError as error:  # a piece contains another character than units
            raise StaleArtifact(
                f"{str(path)!r} is not a model over units ({error}); run the stage 'subword' again"
            ) from error

    def encode(self, units: NDArray[Any]) -> NDArray[np.int32]:
        """(n,) units -> (m,) ids."""
        return self.encode_ragged(units, np.array([0, len(units)], dtype=np.int64))[0]

    def encode_ragged(
        self, flat: NDArray[Any], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Encode many segments independently.

        Args:
            flat: (n,) units of all segments. Repeats are allowed, but the models are trained without repeats.
            offsets: (s + 1,) int64 from 0 to n; segments may be empty.

        Returns:
            ids (m,) int32 and the offsets (s + 1,) of the segments in them.

        Raises:
            StaleArtifact: a unit outside the model.
        """
        if len(flat) and flat.max() >= self.k:
            raise StaleArtifact(
                f"unit {flat.max()}, but the subword model has units below {self.k}; use the model of this codebook"
            )
        if self._chunks is not None:
            return self._chunks(flat, offsets)
        parts = self._processor.encode(to_texts(flat, offsets), out_type="numpy", num_threads=1)
        ids = np.concatenate([np.empty(0, dtype=np.int32), *parts])
        return ids, offsets_of(np.array([*map(len, parts)], dtype=np.int64))

    def _joined(self, flat: NDArray[Any], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """`encode_ragged` of non-empty segments by BPE, many segments in one string."""
        ends = offsets[1:] + np.arange(1, len(offsets))  # end of each segment in the string, after its separator
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
        """(m,) ids -> (n,) units, uint16 (uint32 if k > 65,536): the exact inverse of `encode`."""
        ids = np.asarray(ids, dtype=np.int64)
        return self.decode_ragged(ids, np.array([0, len(ids)], dtype=np.int64))[0]

    def decode_ragged(
        self, ids: NDArray[np.integer[Any]], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """ids (m,), offsets (s + 1,) -> units (n,), offsets (s + 1,).

        Raises:
            StaleArtifact: an id outside the pieces of units.
        """
        if len(ids) and not (ids.min() > _UNKNOWN and ids.max() < self.size):
            raise StaleArtifact(
                f"ids {ids.min()} to {ids.max()}, but pieces of units are 1 to {self.size - 1}; "
                "use the vocabulary of this row"
            )
        lengths = self._lengths[ids]
        return self._units[ranges(self._starts[ids], lengths)], offsets_of(lengths)[offsets]


class TextSubword:
    """A SentencePiece model over text, with the attributes of `UnitSubword`. Byte pieces are <0x00> to <0xFF>."""

    def __init__(self, processor: Any, model: bytes) -> None:
        self._processor = processor
        self.model = model
        self.pieces, self.merged = _texts(spm_proto.read_pieces(model))
        self.size = len(self.pieces)

    @classmethod
    def load(cls, path: str | Path) -> TextSubword:
        """Read a model file of `train_text`.

        Raises:
            StaleArtifact: there is no file, or it is not a model.
        """
        return cls(*_processor(path))

    def encode_batch(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """s strings, encoded independently and unchanged -> ids (m,) int32, offsets (s + 1,)."""
        parts = self._processor.encode(list(texts), out_type="numpy", num_threads=1)
        ids = np.concatenate([np.empty(0, dtype=np.int32), *parts])
        return ids, offsets_of(np.array([*map(len, parts)], dtype=np.int64))

    def decode(self, ids: NDArray[np.integer[Any]] | Sequence[int]) -> str:
        """(m,) ids -> string: the exact inverse of encoding."""
        return str(self._processor.decode([int(i) for i in ids]))
