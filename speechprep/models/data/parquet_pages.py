"""Fast decoder for Parquet list columns with lists of one length, as in `packed`.

A general reader decodes a repetition level and a definition level for every value. In rows of one length without
missing values, all levels follow from the length. This decoder accepts the pages of `artifacts.shards` and returns
False for all other pages; the caller then uses pyarrow. Formats (parquet-format specification): PageHeader in the
Thrift compact protocol, levels in the RLE and bit-packing hybrid, values as byte stream split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_DATA_PAGE, _BYTE_STREAM_SPLIT, _RLE = 0, 9, 3
_BLOCK = 1 << 14  # values joined at a time; they fit the CPU cache


def read_fixed(chunk: memoryview, metadata: pq.ColumnChunkMetaData, out: NDArray[np.int32]) -> bool:
    """Fill `out` (rows, length) with the lists of a column chunk.

    Args:
        chunk: bytes of the column chunk.
        metadata: its metadata in the footer.
        out: (rows, length) int32, overwritten.

    Returns:
        False for a chunk in another format or a list of another length; `out` is then invalid.
    """
    kind = metadata.physical_type, metadata.compression, metadata.has_dictionary_page, metadata.num_values
    if kind != ("INT32", "ZSTD", False, out.size):
        return False
    flat, length, at, done = out.reshape(-1), out.shape[1], 0, 0
    while done < len(flat):
        header, at = _struct(chunk, at)
        page = header.get(5, {})
        if (header.get(1), page.get(2), page.get(3), page.get(4)) != (_DATA_PAGE, _BYTE_STREAM_SPLIT, _RLE, _RLE):
            return False
        raw = pa.decompress(chunk[at : at + header[3]], header[2], codec="zstd")
        at += header[3]
        n, data = page[1], np.frombuffer(raw, np.uint8)
        inner = 4 + int.from_bytes(data[:4].tobytes(), "little")
        levels = inner + 4 + int.from_bytes(data[inner : inner + 4].tobytes(), "little")
        if len(data) - levels != 4 * n or done + n > len(flat):  # missing values or empty lists
            return False
        if not _regular(data[4:inner].tobytes(), n, -done % length, length):
            return False
        _join(data[levels:].reshape(4, n), flat[done : done + n])
        done += n
    return True


def _join(streams: NDArray[np.uint8], out: NDArray[np.int32]) -> None:
    """Values (n,) from their bytes (4, n), lowest byte first. High bytes without any bit set are skipped."""
    high = [byte for byte in (2, 3) if streams[byte].any()]
    for begin in range(0, len(out), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        into = out[part]
        np.copyto(into, streams[1, part])
        into <<= 8
        into |= streams[0, part]
        for byte in high:
            into |= streams[byte, part].astype(np.int32) << np.int32(8 * byte)


def _regular(data: bytes, n: int, first: int, length: int) -> bool:
    """True if exactly the levels at first, first + length, .. of n repetition levels (0 or 1) are 0."""
    at, place, due = 0, 0, first
    while place < n:
        head, at = _varint(data, at)
        count = head >> 1
        if head & 1:  # bit-packed groups of 8 levels, the last group padded
            size, count = count, min(8 * count, n - place)
            zeros = ~int.from_bytes(data[at : at + size], "little") & ((1 << count) - 1)
            at += size
            while zeros:
                lowest = zeros & -zeros
                if place + lowest.bit_length() - 1 != due:
                    return False
                due += length
                zeros ^= lowest
        else:
            if not data[at] and (count != 1 or place != due):
                return False
            due += 0 if data[at] else length
            at += 1
        place += count
        if due < place:
            return False
    return True


def _varint(data: Any, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _struct(data: memoryview, at: int) -> tuple[dict[int, Any], int]:
    """Integer and struct fields of a Thrift struct by field number, and the position of its end."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head, at = data[at], at + 1
        if not head:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = _varint(data, at)
            number = (number >> 1) ^ -(number & 1)
        kind = head & 15
        if kind in (1, 2):
            fields[number] = kind == 1
        elif kind in (4, 5, 6):
            value, at = _varint(data, at)
            fields[number] = (value >> 1) ^ -(value & 1)
        elif kind == 8:
            size, at = _varint(data, at)
            at += size
        elif kind == 12:
            fields[number], at = _struct(data, at)
        else:
            raise ValueError(f"unknown field type {kind} in a page header")
