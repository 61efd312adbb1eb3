"""Loops in machine code where numba is installed. Every function compiled so has a numpy twin with equal results."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any


@lru_cache(maxsize=1)
def has_numba() -> bool:
    """True where numba can be imported; nothing is."""
    return find_spec("numba") is not None


@lru_cache(maxsize=16)
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in machine code, compiled at the first call and kept on disk where that can be written to."""
    import numba

    try:
        made: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        made = numba.njit(nogil=True)(function)
    return made
