"""Process edge of the CLI: every error becomes one line on stderr and an exit code; `--debug` adds the traceback.

Exit codes: 0 done; 1 internal error, or problems found by `verify`; 2 error in the command, its options or its input;
3 too many rejects; 4 disk or object storage; 5 this slice is complete, other slices are not; 130 and 143 stopped.
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
    """SIGTERM, handled as Ctrl-C: workers end and temporary files are removed."""


class Stopped(Exception):
    """A run stopped by a signal. The command-line parser would catch a KeyboardInterrupt."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("stopped: committed shards stay; run the same command again to resume")
        self.exit_code = exit_code


def take_debug(args: list[str]) -> bool:
    """Remove `--debug` from the arguments before `--`; True if it was present."""
    own_args = args[: args.index("--")] if "--" in args else args
    if "--debug" not in own_args:
        return False
    args[: len(own_args)] = [a for a in own_args if a != "--debug"]
    return True


@contextmanager
def edge(*, debug: bool) -> Iterator[None]:
    """Run the block; an error is printed and becomes the exit code."""
    if not debug:  # threads of Beam fail after the death of a worker; the run raises the error itself
        threading.excepthook = lambda _: None
    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the process edge
        sys.exit(print_error(error, debug=debug))


def print_error(error: BaseException, *, debug: bool = False) -> int:
    """Print an error as one line on stderr; return its exit code."""
    line, code = explain(error)
    if debug:
        trace = getattr(error, "trace", "")
        sys.stderr.write(trace or "".join(traceback.format_exception(error)))
    if line:
        sys.stderr.write(line + "\n")
    return code


def explain(error: BaseException) -> tuple[str, int]:
    """The line for an error ("" for no line), and its exit code."""
    if isinstance(error, Stopped):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return "stopped", STOPPED
    if isinstance(error, BrokenPipeError):
        # The reader of the output has closed the pipe (`| head`). At exit, Python would flush stdout and raise again.
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
    path = error.filename or "an output file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({path}); free some space and run the same command again: it resumes"
    if isinstance(error, PermissionError):
        return f"no permission for {path}; change its permissions or choose another folder"
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist; correct the path"
    return one_line(str(error))


def _hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context is not None else ""


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` for Ctrl-C and SIGTERM. Signal handlers can be set in the main thread only."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, stop) if main else None
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(TERMINATED if isinstance(error, Terminated) else STOPPED) from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, previous)
