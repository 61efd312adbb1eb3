"""A Whisper model in a folder of Hugging Face transformers: `config.json`, and safetensors or PyTorch weights.

Safetensors are read with NumPy. PyTorch files are read with `weights_only`, so no code in them is executed.
"""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from speechprep.errors import ConfigError, MissingBackend
from speechprep.pipelines.backends.model_files import CONFIG, read_json, weight_files
from speechprep.pipelines.backends.whisper.checkpoint import kind_of, numpy_of, read_checkpoint
from speechprep.pipelines.backends.whisper.sizes import Sizes
from speechprep.pipelines.backends.whisper.weights import F32, WhisperWeights, as_float32, checked

GENERATION = "generation_config.json"
KINDS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
LONGEST_HEADER = 100_000_000  # bytes, the limit of the safetensors library
DEFAULTS = {  # of WhisperConfig, for a config.json that leaves values out
    "num_mel_bins": 80, "max_source_positions": 1500, "d_model": 384, "encoder_layers": 4,
    "encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_layers": 4, "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536, "max_target_positions": 448, "vocab_size": 51_865, "activation_function": "gelu",
}  # fmt: skip


class Place(NamedTuple):
    """Place of a tensor in a safetensors file."""

    file: Path
    kind: str
    shape: tuple[int, ...]
    start: int
    size: int


class TransformersFolder(WhisperWeights):
    """A folder with `config.json` and weights."""

    form = "transformers"

    @property
    def files(self) -> list[Path]:
        """The configuration and the weight files."""
        return [self.path / CONFIG, *weight_files(self.path)]

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json`.

        Raises:
            ConfigError: a model of another type.
        """
        config = read_json(self.path / CONFIG)
        if config.get("model_type") != "whisper":
            raise ConfigError(f"{self.path} holds a model of type {config.get('model_type')!r}, not a Whisper model")
        return config

    @cached_property
    def sizes(self) -> Sizes:
        """Sizes by the configuration; the shape of each tensor is compared with them when it is read."""
        numbers: list[Any] = [self.config.get(key, value) for key, value in DEFAULTS.items()]
        return checked(self.path, Sizes(*numbers))

    @cached_property
    def generation(self) -> dict[str, Any]:
        """`generation_config.json`, or `config.json` of older folders: the tokens to suppress."""
        file = self.path / GENERATION
        return read_json(file) if file.is_file() else self.config

    def stored(self) -> tuple[str, ...]:
        """Number types of the tensors with two or more dimensions."""
        if self._is_safetensors:
            return tuple(sorted({place.kind for place in self._places.values() if len(place.shape) > 1}))
        return tuple(sorted({kind_of(value) for value in self._checkpoint.values() if value.ndim > 1}))

    @property
    def _is_safetensors(self) -> bool:
        return self.files[-1].suffix == ".safetensors"

    @property
    def _parts(self) -> list[Path]:
        return [file for file in self.files[1:] if not file.name.endswith(".json")]

    @cached_property
    def _places(self) -> dict[str, Place]:
        places: dict[str, Place] = {}
        for file in self._parts:
            places |= _header(file)
        return {name.removeprefix("model."): place for name, place in places.items()}

    @cached_property
    def _checkpoint(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for file in self._parts:
            values |= read_checkpoint(file)
        return {name.removeprefix("model."): value for name, value in values.items() if hasattr(value, "ndim")}

    def _tensor(self, name: str) -> F32:
        stored: Any = self._places if self._is_safetensors else self._checkpoint
        if name not in stored:
            raise MissingBackend(f"the weights in {self.path} lack {name}; copy the model again, whole")
        if not self._is_safetensors:
            return numpy_of(stored[name])
        place = stored[name]
        with place.file.open("rb") as stream:
            stream.seek(place.start)
            return as_float32(stream.read(place.size), place.kind).reshape(place.shape)


def _header(file: Path) -> dict[str, Place]:
    """Places of the tensors of a safetensors file.

    Raises:
        MissingBackend: the file is truncated or damaged.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(LONGEST_HEADER, size - 8):
                raise ValueError(f"a header of {length:,} bytes in {size:,}")
            header = json.loads(stream.read(length))
        places = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            first, last = entry["data_offsets"]
            kind, shape = KINDS[entry["dtype"]], tuple(entry["shape"])
            if not 0 <= first <= last <= size - 8 - length or math.prod(shape) * BYTES[kind] != last - first:
                raise ValueError(f"{name} at {first:,} to {last:,} of {size - 8 - length:,} bytes")
            places[name] = Place(file, kind, shape, 8 + length + first, last - first)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise MissingBackend(f"{file} cannot be read ({str(error)[:120]}); copy the model again, whole") from None
    return places
