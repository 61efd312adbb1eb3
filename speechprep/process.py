"""Process settings, made before NumPy, Arrow and Beam are imported. Variables set by the user stay."""

from __future__ import annotations

import ctypes
import os
import sys

# One thread for each library in each process. The stages run one worker for each core; more threads in BLAS would
# slow all of them down.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_M_ARENA_MAX = -8  # of glibc's malloc.h


def settle() -> None:
    """Set one thread for each library, and return free memory to the system.

    glibc keeps a heap for each thread, and Arrow its own pool. Over a run of many stages they held 384 MB instead of
    273 MB (22 minutes of speech).
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        os.environ["MALLOC_ARENA_MAX"] = "2"  # for the worker processes
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # for this one; other C libraries have none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Return the free memory of glibc's heaps to the system; does nothing with other C libraries.

    A released model leaves holes between small blocks still in use. The call takes about a millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
