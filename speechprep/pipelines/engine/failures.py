"""Transport of errors from a worker to the driver.

Beam runners return the exception of a worker as text inside other text. The worker therefore encodes the error as
marked JSON, and the driver extracts it from the text of any runner.
"""

from __future__ import annotations

import errno
import json
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from speechprep import errors

if TYPE_CHECKING:
    from speechprep.pipelines.engine.task import Task

_MARK = re.compile(r"<<speechprep ([0-9a-f]+) speechprep>>")  # hex: runners print by repr and fold lines


class WorkFailed(RuntimeError):
    """A task failed by a fault of the program; `trace` is the traceback of the worker."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class WorkerDied(RuntimeError):
    """A worker process ended without an answer: killed, out of memory, or a crash in compiled code."""


@contextmanager
def marked(task: Task) -> Iterator[None]:
    """Raise each error of the block as a RuntimeError with a text for `unmark`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the process edge: every error must reach the driver
        body = {
            "type": type(error).__name__,
            "message": _plain(error),
            "stage": task.stage,
            "shard": task.shard,
            "trace": traceback.format_exc(),
        }
        raise RuntimeError(f"<<speechprep {json.dumps(body).encode().hex()} speechprep>>") from None


def _plain(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or 'while writing'}); free some space and run the same command again"
    if isinstance(error, PermissionError):
        return f"no permission for {error.filename}; change its permissions or choose another folder"
    return str(error)


def unmark(text: str) -> BaseException | None:
    """The error in the text of a runner: of a class of `speechprep.errors`, or WorkFailed; None without a mark."""
    marks = _MARK.findall(text)
    if not marks:
        return None
    body: dict[str, Any] = json.loads(bytes.fromhex(marks[-1]))
    kind = getattr(errors, body["type"], None)
    if kind is errors.BadInput:
        return errors.BadInput("uncaught", body["message"])
    if kind is not None:
        error: BaseException = kind(body["message"])
        return error
    where = f"stage {body['stage']}, shard {body['shard']}"
    if body["type"] in ("OSError", "PermissionError"):
        return errors.StorageError(f"{where}: {body['message']}")
    return WorkFailed(f"{where}: {body['type']}: {body['message']}", body["trace"])
