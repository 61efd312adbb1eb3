"""Process edge of the CLI: every error becomes one line on stderr and an exit code; `--debug` adds the traceback.

Exit codes: 0 done; 1 internal error, or problems found by `verify`; 2 error in the command, its options or its input;
3 too many rejects; 4 disk or object storage; 5 this slice is done, other slices are not; 130 and 143 stopped.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from speechprep.errors import SpeechprepError

FAULT = 1
STOPPED = 130
TERMINATED = 143
PIPE_CLOSED = 141
STORAGE = 4
SLICE_DONE = 5


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C: workers are ended and temporary files removed."""


class Stopped(Exception):
    """A run stopped by a signal. The command-line parser catches KeyboardInterrupt; it does not catch this class."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("stopped: committed shards stay; the same command resumes from there")
        self.exit_code = exit_code


def take_debug(args: list[str]) -> bool:
    """Remove `--debug` from the arguments before `--`; True if it was present."""
    ours = args[: args.index("--")] if "--" in args else args
    if "--debug" not in ours:
        return False
    args[: len(ours)] = [a for a in ours if a != "--debug"]
    return True


@contextmanager
def edge(*, debug: bool) -> Iterator[None]:
    """Run the program inside, and exit with its exit code."""
    if not debug:  # a dead worker breaks threads of Beam; the run raises its own error in one line
        threading.excepthook = lambda _: None
    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the process edge
        sys.exit(tell(error, debug=debug))


def tell(error: BaseException, *, debug: bool = False) -> int:
    """Print an error as one line on stderr; its exit code."""
    line, code = explain(error)
    if debug:
        trace = getattr(error, "trace", "")
        sys.stderr.write(trace or "".join(traceback.format_exception(error)))
    if line:
        sys.stderr.write(line + "\n")
    return code


def explain(error: BaseException) -> tuple[str, int]:
    """The line to print ("" for none) and the exit code of an error."""
    if isinstance(error, Stopped):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "stopped", STOPPED
    if isinstance(error, BrokenPipeError):
        # The reader of the output has closed the pipe (`| head`). Python would raise again at its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "", PIPE_CLOSED
    if isinstance(error, SpeechprepError):
        label = {SLICE_DONE: "waiting", TERMINATED: "stopped"}.get(error.exit_code, "error")
        return f"{label}: {one_line(str(error))}", error.exit_code
    if hasattr(error, "format_message"):  # a usage error of the command-line parser
        return f"error: {one_line(error.format_message())}{_hint(error)}", int(getattr(error, "exit_code", 2))
    if isinstance(error, OSError):
        return f"error: {_storage(error)}", STORAGE
    return f"internal error: {type(error).__name__}: {one_line(str(error))} (run with --debug for the traceback)", FAULT


def one_line(text: str) -> str:
    """Line breaks and runs of spaces become one space."""
    return " ".join(text.split())


def _storage(error: OSError) -> str:
    place = error.filename or "an output file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({place}); free some space and run the same command again: it resumes"
    if isinstance(error, PermissionError):
        return f"no permission for {place}; change its permissions or choose another folder"
    if isinstance(error, FileNotFoundError):
        return f"{place} is not there"
    return one_line(str(error))


def _hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context is not None else ""


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into `Stopped`. Signals are set in the main thread only."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(TERMINATED if isinstance(error, Terminated) else STOPPED) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
