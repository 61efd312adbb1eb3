"""Runs in a forked process that is killed (SIGKILL) at one of its operations on the disk, or at a moment."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

OPERATIONS = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")


class KillAt:
    """Counts the flushes, renames, removals and new folders of this process; at one of them, kills the process."""

    def __init__(self, number: int | None = None, *, after: bool = False) -> None:
        self.count = 0
        self._number, self._after = number, after
        self._lock = threading.Lock()
        for name in OPERATIONS:
            setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self.count += 1
                is_last = self.count == self._number
            if is_last and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*arguments, **options)
            finally:
                if is_last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return counted


def forked(work: Callable[[], None]) -> int:
    """Run a function in a fork of this process; returns its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        faulthandler.disable()
        try:
            work()
            code = 0
        except BaseException as error:  # noqa: BLE001 - the edge of the process
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def operations(work: Callable[[], None]) -> int:
    """Number of operations of a function, run in a fork of this process."""
    reading, writing = os.pipe()

    def counted() -> None:
        counter = KillAt()
        work()
        os.write(writing, str(counter.count).encode())

    assert forked(counted) == 0
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return int(pipe.read())
