"""Reader and writer of SentencePiece model files, without the protobuf package.

The generated module of SentencePiece rejects older protobuf runtimes, and Apache Beam pins one. Three message types are
sufficient here. Field numbers: sentencepiece_model.proto of google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from speechprep.errors import StaleArtifact

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece.Type

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of ModelProto
_TEXT, _SCORE, _TYPE = 1, 2, 3  # fields of SentencePiece
_MODEL_TYPE = 3  # field of TrainerSpec
_ALGORITHMS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}  # TrainerSpec.ModelType
_ESCAPE_WHITESPACES = 5  # field of NormalizerSpec
_FLOAT = struct.Struct("<f")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class Piece(NamedTuple):
    """One piece: text, score (BPE: minus the rank) and type."""

    text: str
    score: float
    kind: int = NORMAL


def read_pieces(model: bytes) -> list[Piece]:
    """All pieces of a model, by id.

    Raises:
        StaleArtifact: the bytes are not a SentencePiece model.
    """
    return [_piece(body) for number, _, body in _fields(model) if number == _PIECES]


def algorithm(model: bytes) -> str:
    """Algorithm of a model, from its training options: "bpe" or "unigram"."""
    for number, _, body in _fields(model):
        if number == _TRAINER:
            for option, _, value in _fields(body):
                if option == _MODEL_TYPE:
                    return _ALGORITHMS[_read_varint(value, 0)[0]]
    return "unigram"  # default value of the message


def rewrite(model: bytes, pieces: list[Piece], *, escape_whitespaces: bool) -> bytes:
    """The model with other pieces. If `escape_whitespaces` is False, it keeps spaces as spaces."""
    parts = [_field(_PIECES, _BYTES, _body(piece)) for piece in pieces]
    for number, wire, body in _fields(model):
        if number == _NORMALIZER and not escape_whitespaces:
            kept = [_field(n, w, b) for n, w, b in _fields(body) if n != _ESCAPE_WHITESPACES]
            body = b"".join([*kept, _field(_ESCAPE_WHITESPACES, _VARINT, _varint(0))])
        if number != _PIECES:
            parts.append(_field(number, wire, body))
    return b"".join(parts)


def _piece(body: bytes) -> Piece:
    text, score, kind = "", 0.0, NORMAL
    for number, _, value in _fields(body):
        if number == _TEXT:
            text = value.decode("utf-8")
        elif number == _SCORE:
            score = _FLOAT.unpack(value)[0]
        elif number == _TYPE:
            kind = value[0]
    return Piece(text, score, kind)


def _body(piece: Piece) -> bytes:
    kind = b"" if piece.kind == NORMAL else _field(_TYPE, _VARINT, _varint(piece.kind))
    return _field(_TEXT, _BYTES, piece.text.encode("utf-8")) + _field(_SCORE, _FIXED32, _FLOAT.pack(piece.score)) + kind


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(field number, wire type, raw value) of each field of a message."""
    at, size = 0, len(message)
    while at < size:
        tag, at = (message[at], at + 1) if message[at] < 0x80 else _read_varint(message, at)
        wire = tag & 7
        if wire == _BYTES:
            length, at = _read_varint(message, at)
            end = at + length
        elif wire == _VARINT:
            end = _read_varint(message, at)[1]
        elif wire in (_FIXED32, _FIXED64):
            end = at + (4 if wire == _FIXED32 else 8)
        else:
            raise StaleArtifact(
                f"not a SentencePiece model: wire type {wire} at byte {at}; run the stage 'subword' again"
            )
        if end > size:
            raise StaleArtifact(
                f"not a SentencePiece model: it ends at byte {size} inside a field; run the stage 'subword' again"
            )
        yield tag >> 3, wire, message[at:end]
        at = end


def _field(number: int, wire: int, value: bytes) -> bytes:
    size = _varint(len(value)) if wire == _BYTES else b""
    return _varint(number << 3 | wire) + size + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    if at < len(message) and message[at] < 0x80:
        return message[at], at + 1
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise StaleArtifact("not a SentencePiece model: it ends inside a number; run the stage 'subword' again")
