"""A Whisper model in the binary format of CTranslate2 (`model.bin`), as in the folders of faster-whisper.

The format, little-endian: version; name and revision of the specification; number of variables; for each variable its
name, rank, dimensions, number type, bytes and data; number of aliases; for each alias two names. A name has a length of
two bytes and ends with a zero byte. Integer weights have a variable `..._scale`: the value is integer / scale.

The file is data only. Every length is compared with the size of the file before it is used.
"""

from __future__ import annotations

import math
import struct
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.whisper.sizes import Sizes
from speechprep.pipelines.backends.whisper.weights import F32, WhisperWeights, as_float32, checked

MODEL = "model.bin"
VERSIONS = (5, 6)
SPECIFICATION = "WhisperSpec"
KINDS = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # by number
BYTES = {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "float16": 2, "bfloat16": 2}
MAX_VARIABLES, MAX_RANK = 100_000, 8


class Variable(NamedTuple):
    """Place of a variable in the file."""

    kind: str
    shape: tuple[int, ...]
    start: int
    size: int


class Ct2Folder(WhisperWeights):
    """A folder with `model.bin` of CTranslate2."""

    form = "ct2"

    @property
    def files(self) -> list[Path]:
        """`model.bin`."""
        return [self.path / MODEL]

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """Places of all variables, aliases included.

        Raises:
            ConfigError: the file is truncated, damaged or of another kind.
            MissingBackend: there is no such file.
        """
        file = self.files[0]
        try:
            with file.open("rb") as stream:
                return _Header(file, stream).variables()
        except OSError as error:
            raise MissingBackend(f"{file} cannot be read ({error.strerror}); copy the model again, whole") from None

    @cached_property
    def sizes(self) -> Sizes:
        """Sizes by the shapes of the variables, and the numbers of heads."""
        filters, inner, text_inner = (
            self._shape(name, rank)
            for name, rank in (
                ("encoder/conv1/weight", 3),
                ("encoder/layer_0/ffn/linear_0/weight", 2),
                ("decoder/layer_0/ffn/linear_0/weight", 2),
            )
        )
        return checked(
            self.path,
            Sizes(
                mels=filters[1],
                positions=self._shape("encoder/position_encodings/encodings", 2)[0],
                width=filters[0],
                encoder_layers=self._layers("encoder"),
                encoder_heads=self._number("encoder/num_heads"),
                encoder_ffn=inner[0],
                decoder_layers=self._layers("decoder"),
                decoder_heads=self._number("decoder/num_heads"),
                decoder_ffn=text_inner[0],
                text_positions=self._shape("decoder/position_encodings/encodings", 2)[0],
                vocabulary=self._shape("decoder/embeddings/weight", 2)[0],
            ),
        )

    def stored(self) -> tuple[str, ...]:
        """Number types of the variables with two or more dimensions."""
        return tuple(sorted({variable.kind for variable in self.variables.values() if len(variable.shape) > 1}))

    def _shape(self, name: str, rank: int) -> tuple[int, ...]:
        if name not in self.variables or len(self.variables[name].shape) != rank:
            raise ConfigError(f"{self.files[0]} is not a Whisper model: no {name} of {rank} dimensions")
        return self.variables[name].shape

    def _layers(self, side: str) -> int:
        prefix = f"{side}/layer_"
        numbers = {name[len(prefix) :].partition("/")[0] for name in self.variables if name.startswith(prefix)}
        return sum(number.isdigit() for number in numbers)

    def _number(self, name: str) -> int:
        if name not in self.variables or self.variables[name].shape or not self.variables[name].kind.startswith("int"):
            raise ConfigError(f"{self.files[0]} is not a Whisper model: no number {name}")
        return int(self._integers(self.variables[name]).item())

    def _raw(self, variable: Variable) -> bytes:
        with self.files[0].open("rb") as stream:
            stream.seek(variable.start)
            raw = stream.read(variable.size)
        if len(raw) != variable.size:
            raise ConfigError(f"{self.files[0]} changed while it was read; run the command again")
        return raw

    def _integers(self, variable: Variable) -> NDArray[np.signedinteger]:
        return np.frombuffer(self._raw(variable), f"<i{BYTES[variable.kind]}").reshape(variable.shape)

    def _floats(self, name: str) -> F32:
        """A variable in float32; integers are divided by their scale."""
        if name not in self.variables:
            raise ConfigError(
                f"{self.files[0]} is not a complete Whisper model: no {name}; copy the model again, whole"
            )
        variable = self.variables[name]
        if not variable.kind.startswith("int"):
            return as_float32(self._raw(variable), variable.kind).reshape(variable.shape)
        scale_name = f"{name}_scale"
        scale = self._floats(scale_name) if scale_name in self.variables else None
        rows = variable.shape[:1]
        if (
            variable.kind == "int32"
            or f"{name}_zero" in self.variables
            or scale is None
            or scale.shape not in ((), rows)
        ):
            raise ConfigError(
                f"{self.files[0]}: {name} is quantised in an unsupported way ({variable.kind}); use a copy in float16, "
                "float32, bfloat16, int8 or int16"
            )
        divisor = scale.reshape(scale.shape + (1,) * (len(variable.shape) - 1)) if scale.shape else scale
        return cast(F32, (self._integers(variable).astype(np.float32) / divisor).astype(np.float32))

    def _tensor(self, name: str) -> F32:
        variable, part, parts = place_of(name)
        whole = self._floats(variable)
        if parts == 1:
            return whole
        if len(whole) % parts:
            raise ConfigError(f"{self.files[0]} is not a Whisper model: {variable} has the shape {whole.shape}")
        pieces = np.split(whole, parts)
        keys = parts - 2  # the piece of the keys in a bias of queries, keys and values, or of keys and values
        if name.endswith(".bias") and pieces[keys].any():
            raise ConfigError(f"{self.files[0]} is not a Whisper model: {variable} has a bias for the keys")
        return pieces[part]


class _Header:
    """Reader of the header, with a check of every length."""

    def __init__(self, file: Path, stream: BinaryIO) -> None:
        self._file, self._stream = file, stream
        self._size = file.stat().st_size

    def variables(self) -> dict[str, Variable]:
        """Places of all variables."""
        start = self._stream.read(4)
        if int.from_bytes(start, "little") not in VERSIONS:
            raise ConfigError(
                f"{self._file} is not a model of CTranslate2 in binary version {' or '.join(map(str, VERSIONS))}: it "
                f"starts with {start!r}; copy the model again, whole"
            )
        name = self._text()
        if name != SPECIFICATION:
            raise ConfigError(f"{self._file} holds a model of the kind {name[:40]!r}, not a Whisper model")
        self._unsigned("I")  # revision of the specification
        variables: dict[str, Variable] = {}
        for _ in range(self._count()):
            name = self._text()
            variables[name] = self._variable(name)
        for _ in range(self._count()):
            alias, target = self._text(), self._text()
            if target not in variables:
                raise self._damaged(f"the alias {alias} of {target}")
            variables[alias] = variables[target]
        if self._stream.tell() != self._size:
            raise self._damaged(f"{self._size - self._stream.tell():,} bytes after its end")
        return variables

    def _variable(self, name: str) -> Variable:
        rank = self._unsigned("B")
        if rank > MAX_RANK:
            raise self._damaged(f"{rank} dimensions of {name}")
        shape = tuple(self._unsigned("I") for _ in range(rank))
        number, size = self._unsigned("B"), self._unsigned("I")
        if number >= len(KINDS) or math.prod(shape) * BYTES[KINDS[number]] != size:
            raise self._damaged(f"{size:,} bytes of type {number} for the shape {shape} of {name}")
        start = self._stream.tell()
        if start + size > self._size:
            raise self._damaged(f"{self._size:,} bytes, but {name} ends at {start + size:,}")
        self._stream.seek(size, 1)
        return Variable(KINDS[number], shape, start, size)

    def _count(self) -> int:
        count = self._unsigned("I")
        if count > MAX_VARIABLES:
            raise self._damaged(f"{count:,} variables")
        return count

    def _unsigned(self, kind: str) -> int:
        return int(struct.unpack(f"<{kind}", self._bytes(struct.calcsize(f"<{kind}")))[0])

    def _text(self) -> str:
        raw = self._bytes(self._unsigned("H"))
        try:
            return raw.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise self._damaged(f"the name {raw[:20]!r}") from None

    def _bytes(self, size: int) -> bytes:
        raw = self._stream.read(size)
        if len(raw) != size:
            raise self._damaged(f"it ends after {self._size:,} bytes")
        return raw

    def _damaged(self, reason: str) -> ConfigError:
        return ConfigError(f"{self._file} is truncated or damaged ({reason}); copy the model again, whole")


NORMS = {"weight": "gamma", "bias": "beta"}
PLACES = {  # part of a layer -> variable, part and number of parts
    "self_attn_layer_norm": ("self_attention/layer_norm", 0, 1),
    "self_attn.q_proj": ("self_attention/linear_0", 0, 3),
    "self_attn.k_proj": ("self_attention/linear_0", 1, 3),
    "self_attn.v_proj": ("self_attention/linear_0", 2, 3),
    "self_attn.out_proj": ("self_attention/linear_1", 0, 1),
    "encoder_attn_layer_norm": ("attention/layer_norm", 0, 1),
    "encoder_attn.q_proj": ("attention/linear_0", 0, 1),
    "encoder_attn.k_proj": ("attention/linear_1", 0, 2),
    "encoder_attn.v_proj": ("attention/linear_1", 1, 2),
    "encoder_attn.out_proj": ("attention/linear_2", 0, 1),
    "final_layer_norm": ("ffn/layer_norm", 0, 1),
    "fc1": ("ffn/linear_0", 0, 1),
    "fc2": ("ffn/linear_1", 0, 1),
}
OTHERS = {"embed_positions.weight": "position_encodings/encodings", "embed_tokens.weight": "embeddings/weight"}


def place_of(name: str) -> tuple[str, int, int]:
    """Canonical name -> variable, part of its rows, and number of parts."""
    side, _, rest = name.partition(".")
    if rest in OTHERS:
        return f"{side}/{OTHERS[rest]}", 0, 1
    part, _, kind = rest.rpartition(".")
    if not part.startswith("layers."):
        return f"{side}/{part}/{NORMS[kind] if part == 'layer_norm' else kind}", 0, 1
    _, number, part = part.split(".", 2)
    variable, piece, pieces = PLACES[part]
    return f"{side}/layer_{number}/{variable}/{NORMS[kind] if part.endswith('norm') else kind}", piece, pieces
