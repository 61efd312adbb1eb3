"""Text form of units: unit u <-> one private-use Unicode character, for text tools such as SentencePiece.

Private-use characters have no case, composition or script, so no normaliser changes them, and transcripts do not
contain them. With one character for each unit, a piece cannot begin or end inside a unit, unlike "u12 u57".

    unit 0 .. 6,399            U+E000 .. U+F8FF         (3 bytes in UTF-8)
    unit 6,400 .. 71,933       U+F0000 .. U+FFFFD       (4 bytes)
    unit 71,934 .. 137,467     U+100000 .. U+10FFFD     (4 bytes)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError

_BMP, _PLANE = 0xF8FF - 0xE000 + 1, 0xFFFE  # characters of the first block and of each of the two planes
MAX_UNITS = _BMP + 2 * _PLANE  # 137,468
UNIT_CHARACTERS = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"  # for [...] in a regular expression


def check_k(k: int) -> None:
    """Raise ConfigError if there are more units `k` than private-use characters."""
    if not 1 <= k <= MAX_UNITS:
        raise ConfigError(f"k = {k} units; use a codebook of 1 to {MAX_UNITS} units")


def unit_dtype(k: int) -> np.dtype[Any]:
    """Data type of the units of a codebook of size `k`: uint16, or uint32 above 65,536 units."""
    return np.dtype(np.uint16 if k <= 1 << 16 else np.uint32)


def to_codepoints(units: NDArray[Any]) -> NDArray[np.uint32]:
    """(n,) units below `MAX_UNITS` -> (n,) code points, little-endian uint32."""
    points = units.astype("<u4") + np.uint32(0xE000)
    if len(units) and units.max() >= _BMP:
        plane = units >= _BMP
        rest = units[plane].astype("<u4") - np.uint32(_BMP)
        points[plane] = 0xF0000 + rest + np.where(rest >= _PLANE, 0x10000 - _PLANE, 0).astype("<u4")
    return points


def from_codepoints(points: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Inverse of `to_codepoints`. Raises ConfigError for other characters."""
    units = points.astype(np.int64) - 0xE000
    plane = points >= 0xF0000
    if plane.any():
        rest = points[plane].astype(np.int64) - 0xF0000
        units[plane] = _BMP + rest - np.where(rest >= 0x10000, 0x10000 - _PLANE, 0)
    wrong = (units < 0) | (~plane & (units >= _BMP)) | (units >= MAX_UNITS) | (plane & (points & 0xFFFF >= _PLANE))
    if wrong.any():
        raise ConfigError(f"U+{int(points[wrong.argmax()]):04X} is not the character of a unit; pass text from to_text")
    return units.astype(np.uint32)


def to_text(units: NDArray[Any]) -> str:
    """(n,) units -> string of n characters."""
    return to_codepoints(units).tobytes().decode("utf-32-le")


def from_text(text: str) -> NDArray[np.uint32]:
    """Inverse of `to_text`. Raises ConfigError for other characters."""
    return from_codepoints(np.frombuffer(text.encode("utf-32-le"), dtype="<u4"))


def to_texts(flat: NDArray[Any], offsets: NDArray[np.int64]) -> list[str]:
    """`to_text` of many sequences: flat (n,), offsets (s + 1,) -> s strings."""
    text, edges = to_text(flat), offsets.tolist()
    return [text[a:b] for a, b in pairwise(edges)]


def from_texts(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Inverse of `to_texts`: s strings -> flat (n,), offsets (s + 1,)."""
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return from_text("".join(texts)), offsets
