"""`WhisperWeights`: base of the readers of the three forms, and the identity of the weights.

The identity is the sha256 of the float32 tensors in canonical order, with the values of the configuration. So equal
weights have one identity in every form. Weights in int8 are dequantised, and have the identity of the dequantised
values.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.errors import ConfigError
from speechprep.pipelines.backends.whisper.sizes import Shapes, Sizes

Form = Literal["ct2", "transformers", "openai"]
Side = Literal["encoder", "decoder"]
F32 = NDArray[np.float32]

LARGEST = 100_000  # plausible limit of every size


class WhisperWeights(ABC):
    """The weights of a Whisper model in one of the three forms; tensors are read on demand.

    Attributes:
        form: form of the files.
        path: the folder, or the `.pt` file.
    """

    form: ClassVar[Form]

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    @abstractmethod
    def files(self) -> list[Path]:
        """The files with an influence on the weights; nothing is read."""

    @cached_property
    @abstractmethod
    def sizes(self) -> Sizes:
        """Sizes of the model.

        Raises:
            ConfigError: the file is damaged, or not a Whisper model.
        """

    @abstractmethod
    def stored(self) -> tuple[str, ...]:
        """Number types of the stored tensors with two or more dimensions, for example ("float16",)."""

    @abstractmethod
    def _tensor(self, name: str) -> F32:
        """A tensor by its canonical name."""

    def tensor(self, name: str, shape: tuple[int, ...]) -> F32:
        """A tensor in float32, by its canonical name.

        Raises:
            ConfigError: the tensor is absent, unreadable or of another shape.
        """
        value = self._tensor(name)
        if value.shape != shape:
            raise ConfigError(
                f"{self.path}: the tensor {name} has the shape {value.shape}, but the model needs {shape}; "
                "get the model again"
            )
        return value

    def shapes(self, side: Side) -> Shapes:
        """Names and shapes of the tensors of the encoder or decoder, in canonical order."""
        return self.sizes.encoder() if side == "encoder" else self.sizes.decoder()

    @property
    def dequantised(self) -> bool:
        """True if the stored weights are integers, so that the float values are approximations."""
        return any(kind.startswith("int") for kind in self.stored())

    def digest(self, side: Side = "encoder") -> str:
        """sha256 of the tensors; they are read again only after a change of a file.

        Raises:
            ConfigError: a tensor is absent or unreadable.
        """
        states = tuple((str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files)
        return _digest(type(self), self.path, side, states)


@lru_cache(maxsize=64)
def _digest(reader: type[WhisperWeights], path: Path, side: Side, states: tuple[tuple[str, int, int], ...]) -> str:
    weights, whole = reader(path), hashlib.sha256()
    for name, shape in weights.shapes(side).items():
        whole.update(f"{name} {shape}\n".encode())
        whole.update(np.ascontiguousarray(weights.tensor(name, shape), "<f4").data)
    return whole.hexdigest()


def checked(path: Path, sizes: Sizes) -> Sizes:
    """The same sizes.

    Raises:
        ConfigError: a size is impossible.
    """
    numbers = {name: value for name, value in vars(sizes).items() if name != "activation"}
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
            raise ConfigError(f"{path} is not a Whisper model: {name} = {value!r}")
    if sizes.width % sizes.encoder_heads or sizes.width % sizes.decoder_heads:
        raise ConfigError(
            f"{path} is not a Whisper model: the width {sizes.width} is no multiple of {sizes.encoder_heads} and "
            f"{sizes.decoder_heads} attention heads"
        )
    return sizes


def as_float32(raw: bytes | memoryview, kind: str) -> F32:
    """Little-endian numbers as float32: float32, float16 or bfloat16."""
    if kind == "bfloat16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"float32": "<f4", "float16": "<f2"}[kind]).astype(np.float32)
