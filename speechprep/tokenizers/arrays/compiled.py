"""Loops compiled to machine code by numba, if it is installed. Each one has a NumPy twin with equal results."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any


@lru_cache(maxsize=1)
def has_numba() -> bool:
    """True if numba is installed. Nothing is imported."""
    return find_spec("numba") is not None


@lru_cache(maxsize=16)
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled to machine code at its first call, and cached on disk if a cache folder is writable."""
    import numba

    try:
        machine_code: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package folder nor the cache folder of the user is writable
        machine_code = numba.njit(nogil=True)(function)
    return machine_code
