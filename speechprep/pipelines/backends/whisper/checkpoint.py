"""Checkpoints of PyTorch, read with `weights_only`: no code in the file is executed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, cast

from speechprep.errors import ConfigError, MissingBackend, first_line
from speechprep.pipelines.backends.whisper.weights import F32


def read_checkpoint(file: Path) -> dict[str, Any]:
    """The dictionary in a checkpoint; tensors stay on the disk until their use.

    Raises:
        MissingBackend: torch is not installed, or there is no such file.
        ConfigError: the file is damaged, or holds more than weights.
    """
    if not file.is_file():
        raise MissingBackend(f"there is no file {file}; give the path of a .pt of openai-whisper")
    try:
        import torch
    except ImportError:
        raise MissingBackend.package(f"the model {file}", "torch", "hf") from None
    from pickle import UnpicklingError

    try:
        values = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except UnpicklingError as error:
        raise ConfigError(
            f"{file} is damaged, or no checkpoint of weights alone ({first_line(error)[:160]}); get the file again"
        ) from None
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigError(f"{file} cannot be read as a checkpoint ({first_line(error)[:160]}); get it again") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds a {type(values).__name__}, not a dictionary of weights; get the file again")
    return values


def numpy_of(value: Any) -> F32:
    """A floating-point tensor as float32."""
    return cast(F32, value.detach().float().contiguous().numpy())


def kind_of(value: Any) -> str:
    """Number type of a tensor, for example "float16"."""
    return str(value.dtype).removeprefix("torch.")
