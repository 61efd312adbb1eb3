"""Plain values of a pickle, read without executing it, and the arrays in it.

Joblib (0.10 and newer) writes the bytes of an array into the stream, after the opcode of the array's
`NumpyArrayWrapper` (dtype, shape, order). From joblib 1.2 on, a byte with the length of a padding and the padding
come first. Matrices of floats are kept, other arrays are passed over and become `Skipped`.

Every value may come from a hostile file: only plain strings and small numbers are hashed, printed, compared or
multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAX_ALLOCATED = 1 << 30  # bytes of arrays and arguments of opcodes in memory
MAX_STREAM = 1 << 33  # bytes of an unpacked stream, a limit against decompression bombs
MAX_DEPTH = 4  # arrays of objects in arrays of objects
MAX_SIZE = 1 << 40  # of one dimension
_BLOCK = 1 << 20


class Damaged(ValueError):
    """The stream is not a readable pickle; the message has the reason."""


@dataclass(frozen=True)
class Global:
    """The name of a class or function."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Record:
    """An object left uncreated: the call, its arguments, and the state."""

    what: Any
    args: Any = ()
    state: Any = None


@dataclass(frozen=True)
class Skipped:
    """An array left unread."""

    dtype: str
    shape: tuple[int, ...]


@dataclass
class CountingReader:
    """Forward reader of a file with limits: raises at an early end of the file, and beyond its limits of size."""

    file: IO[bytes]
    at: int = 0
    allocated: int = 0
    depth: int = 0

    def read(self, n: int) -> bytes:
        """Up to `n` bytes, as files do it: the argument of an opcode."""
        self.allocate(n)
        return self._count(self.file.read(n))

    def allocate(self, n: int) -> None:
        """Count `n` bytes of memory.

        Raises:
            Damaged: larger than any codebook.
        """
        self.allocated += n
        if self.allocated > MAX_ALLOCATED:
            raise Damaged(f"it needs more than {MAX_ALLOCATED >> 30} GiB of memory")

    def readline(self) -> bytes:
        """A line of the text opcodes."""
        line = self._count(self.file.readline(_BLOCK))
        self.allocate(len(line))
        return line

    def exactly(self, n: int) -> bytes:
        """`n` bytes.

        Raises:
            Damaged: the file ends before.
        """
        parts, left = [], n
        while left:
            part = self._count(self.file.read(min(left, _BLOCK)))
            if not part:
                raise Damaged(f"it breaks off {left:,} bytes before the end of an array")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def skip(self, n: int) -> None:
        """Past `n` bytes.

        Raises:
            Damaged: the file ends before.
        """
        while n:
            n -= len(self.exactly(min(n, _BLOCK)))

    def skip_rest(self) -> None:
        """To the end of the file."""
        while self._count(self.file.read(_BLOCK)):
            pass

    def _count(self, data: bytes) -> bytes:
        self.at += len(data)
        if self.at > MAX_STREAM:
            raise Damaged(f"it unpacks to more than {MAX_STREAM >> 30} GiB")
        return data


def dtype_of(record: Any) -> np.dtype[Any] | str:
    """The dtype in a record of `numpy.dtype`; its name if it is no plain number."""
    if not (isinstance(record, Record) and isinstance(record.args, tuple) and record.args):
        raise Damaged("an array without a dtype")
    code = record.args[0]
    if not isinstance(code, str):
        raise Damaged("an array without a dtype")
    if not (code[:1] in tuple("biufc") and code[1:].isdecimal() and len(code) <= 3):
        return "object" if code.startswith("O") else code[:20]
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "="
    dtype = np.dtype(code)
    return dtype.newbyteorder(">") if order == ">" else dtype.newbyteorder("<") if order == "<" else dtype


def shape_of(value: Any) -> tuple[int, ...]:
    """A shape, from a number or a tuple."""
    sizes = (value,) if isinstance(value, int) else value
    if isinstance(sizes, tuple) and len(sizes) <= 32 and all(isinstance(n, int) and 0 <= n < MAX_SIZE for n in sizes):
        return sizes
    raise Damaged("an array of impossible shape")


def array_behind(stream: CountingReader, state: Any, walk: Callable[[CountingReader], Any]) -> NDArray[Any] | Skipped:
    """The array with its bytes after its wrapper in the stream; `walk` reads the pickle of an object array."""
    if not isinstance(state, dict) or not {"dtype", "shape", "order"} <= state.keys():
        raise Damaged("an array without dtype, shape and order")
    dtype, shape = dtype_of(state["dtype"]), shape_of(state["shape"])
    if dtype == "object":
        stream.depth += 1
        if stream.depth > MAX_DEPTH:
            raise Damaged("arrays of objects within each other")
        walk(stream)
        stream.depth -= 1
        return Skipped("object", shape)
    if isinstance(dtype, str):
        raise Damaged(f"an array of dtype {dtype!r}")
    if state.get("numpy_array_alignment_bytes") is not None:
        stream.skip(stream.exactly(1)[0])
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind != "f" or len(shape) != 2:
        stream.skip(size)
        return Skipped(str(dtype), shape)
    stream.allocate(size)
    return array_of(stream.exactly(size), dtype, shape, state["order"])


def array_of_state(state: Any) -> NDArray[Any] | Skipped:
    """An array of a plain pickle: (version, shape, dtype, whether in Fortran's order, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise Damaged("an array without its state")
    _, shape, dtype, fortran, data = state
    if not isinstance(data, bytes):
        return Skipped("object", shape_of(shape))
    return array_of(data, dtype_of(dtype), shape_of(shape), "F" if fortran is True else "C")


def array_of(data: bytes, dtype: np.dtype[Any] | str, shape: tuple[int, ...], order: Any) -> NDArray[Any] | Skipped:
    """A matrix of floats from its bytes; `Skipped` for any other array."""
    if isinstance(dtype, str) or dtype.kind != "f" or len(shape) != 2:
        return Skipped(str(dtype), shape)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise Damaged(f"an array of shape {shape} with {len(data):,} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")
