"""How an error on a worker reaches the person at the driver as one line.

Engines hand a worker's exception to the driver as text inside text. The worker therefore marks its message with
JSON, and the driver finds it in any wrapping of the engine.
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
    from speechprep.pipelines.engine.execute import Task

_MARK = re.compile(r"<<speechprep ([0-9a-f]+) speechprep>>")  # hex: engines print by repr and fold lines


class WorkFailed(RuntimeError):
    """A piece of work failed by a fault of the program; `trace` is the worker's traceback."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class WorkerDied(RuntimeError):
    """A worker process ended without an answer (killed, out of memory, a crash in compiled code)."""


@contextmanager
def marked(task: Task) -> Iterator[None]:
    """Errors raised inside leave as a RuntimeError with a text for `unmark`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the process edge: whatever it is, the driver must learn of it
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
        return f"no permission for {error.filename}"
    return str(error)


def unmark(text: str) -> BaseException | None:
    """The error behind an engine's text: one of `speechprep.errors` where it was one, WorkFailed otherwise."""
    found = _MARK.findall(text)
    if not found:
        return None
    body: dict[str, Any] = json.loads(bytes.fromhex(found[-1]))
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
