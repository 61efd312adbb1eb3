"""Attempts of tasks on workers without the driver's disk, and for output on object storage.

`_state/attempt-<shard>.json` in the output folder exists during a task. If a later attempt finds it, a process died in
the shard. The shard is then processed one record at a time, and the id of each record is first written to the file. A
record during which a process died twice is rejected. An engine may repeat a task itself, or a later run does.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import StorageError
from speechprep.pipelines.engine.scratch import is_alive
from speechprep.pipelines.engine.task import STATE, Task

CRASHES_TO_REJECT = 2  # the first crash may have an external cause, for example the out-of-memory killer
_NAME = re.compile(r"attempt-(\d+)\.json")


def needs_attempts(task: Task) -> bool:
    """True if a crash of a worker leaves nothing on the driver's disk."""
    return task.work is None or not storage.is_local(task.folder)


@dataclass
class Attempt:
    """An attempt of a task.

    Attributes:
        uri: its file.
        task: the task, one record at a time after an earlier crash.
        crashes: id -> number of crashes; the id is empty for crashes outside of any record.
    """

    uri: str
    task: Task
    crashes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, task: Task) -> Attempt:
        """Write the file of an attempt, after a look at the file of an earlier one.

        Raises:
            StorageError: processes died in this shard outside of any record.
        """
        uri = storage.join(task.folder, STATE, f"attempt-{task.shard:05d}.json")
        earlier = _read(uri)
        attempt = cls(uri, task)
        if earlier and not _runs_here(earlier):
            crashes = {str(id): int(n) for id, n in earlier.get("crashes", {}).items()}
            if earlier.get("one_by_one"):
                for id in earlier.get("ids") or [""]:
                    crashes[id] = crashes.get(id, 0) + 1
            if crashes.get("", 0) >= CRASHES_TO_REJECT:
                storage.remove(uri)
                raise StorageError(
                    f"{task.stage}, shard {task.shard}: its process dies, on none of its records in particular; "
                    "check the memory of the workers"
                )
            skipped = {id for id, n in crashes.items() if n >= CRASHES_TO_REJECT}
            ids = sorted(skipped.union(task.skip_ids))
            attempt = cls(uri, replace(task, one_by_one=True, skip_ids=ids), crashes)
        attempt.note([])
        return attempt

    def note(self, ids: Sequence[str]) -> None:
        """Store the ids of the records in progress."""
        body = {
            "host": platform.node(),
            "pid": os.getpid(),
            "one_by_one": self.task.one_by_one,
            "ids": list(ids),
            "crashes": self.crashes,
        }
        storage.write_bytes(self.uri, json.dumps(body).encode())

    def end(self) -> None:
        """Remove the file: the task has ended, with or without an error."""
        with suppress(OSError):
            storage.remove(self.uri)


def crashed(folder: str) -> set[int]:
    """Shards with an attempt of a process that has died."""
    state = storage.join(folder, STATE)
    found = {name: _NAME.fullmatch(name) for name in storage.sizes(state)}
    bodies = {int(match[1]): _read(storage.join(state, name)) for name, match in found.items() if match}
    return {shard for shard, body in bodies.items() if body and not _runs_here(body)}


def _read(uri: str) -> dict[str, Any]:
    """Content of the file; empty if it is absent or damaged."""
    try:
        body = json.loads(storage.read_bytes(uri))
    except (FileNotFoundError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _runs_here(body: dict[str, Any]) -> bool:
    """True for an attempt of a living process of this machine: a second copy of the task, not a crash."""
    return body.get("host") == platform.node() and type(body.get("pid")) is int and is_alive(body["pid"])
