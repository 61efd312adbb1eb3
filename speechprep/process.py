"""Settings of a process of ours, made before NumPy, Arrow and Beam are imported. What the user has set is respected."""

from __future__ import annotations

import ctypes
import os
import sys

# One thread for each library in each process: the stages run as many workers as there are cores, and a BLAS that
# starts as many threads again makes all of them slow.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_M_ARENA_MAX = -8  # of glibc's malloc.h


def settle() -> None:
    """One thread a library, and memory that goes back when it is free.

    glibc keeps a heap for each thread and Arrow a pool of its own; over a run of many stages in threads they held a
    third more than was ever needed (384 against 273 MB on 22 minutes of speech).
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
    """Free memory that glibc still holds goes back to the system, wherever in its heap it lies; elsewhere nothing.

    Models leave holes behind: small blocks that stay, between large ones that went. It takes about a millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
