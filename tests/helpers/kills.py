"""Runs in a process that is killed (SIGKILL) at one of its operations on the disk, or at a moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["helpers.toy_chain", "apache_beam", "grpc"])


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


def forked(work: Callable[..., None], *arguments: Any) -> int:
    """Run a function in a new process; returns its exit code, negative for a signal.

    The process is a fork of a server without threads: a fork of the test process would take over the locks of its
    gRPC threads, and could wait for them without end. The function and its arguments are pickled.
    """
    process = _SERVER.Process(target=_quietly, args=(work, *arguments))
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code


def _quietly(work: Callable[..., None], *arguments: Any) -> None:
    """Run a function; a failure is one line, and none of the exit handlers of the libraries run."""
    code = 1
    try:
        work(*arguments)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def operations(work: Callable[..., None], *arguments: Any) -> int:
    """Number of operations of a function, run in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        counted = Path(folder) / "operations"
        assert forked(_count, counted, work, *arguments) == 0
        return int(counted.read_text())


def _count(counted: Path, work: Callable[..., None], *arguments: Any) -> None:
    counter = KillAt()
    work(*arguments)
    counted.write_text(str(counter.count))
