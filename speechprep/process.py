"""Process settings: threads of libraries and return of free memory.

They are set before the import of NumPy, Arrow and Beam. Environment variables set by the user are not changed.
"""

from __future__ import annotations

import ctypes
import os
import sys

# One thread for each library in each process. Stages run one worker for each core, so further threads slow all down.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_M_ARENA_MAX = -8  # from malloc.h of glibc


def settle() -> None:
    """Set one thread for each library, and return free memory to the system.

    By default glibc has a heap for each thread, and Arrow has a pool. In a run of many stages (22 minutes of speech)
    they held 384 MB with the defaults, and 273 MB with these settings.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        os.environ["MALLOC_ARENA_MAX"] = "2"  # for the worker processes
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # for this process; only glibc has mallopt
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Return the free memory of the heaps of glibc to the system; does nothing with other C libraries.

    A released model leaves gaps between small blocks in use. The call takes about 1 ms.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
