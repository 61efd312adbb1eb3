"""Lock of an output folder: one driver at a time, or one for each slice of a job array.

`_lock` holds the host, the process and the start of the run. The file is locked by `flock`, which the kernel releases
when the process ends, also on NFS version 4. On file systems and object storage without `flock`, the run renews the
lock regularly. A lock without a renewal for `STALE` seconds belongs to a dead run. No clocks are compared.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import FolderInUse
from speechprep.pipelines.engine.scratch import is_alive

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "_lock"
RENEW = 10.0  # seconds between two renewals
STALE = 35.0  # seconds without a renewal
_LOOK = 0.5  # seconds between two looks at the lock of another machine


def is_lock(name: str) -> bool:
    """True for the name of a lock in an output folder."""
    return name == NAME or name.startswith(f"{NAME}-")


class DriverLock:
    """The lock of a run on a folder.

    Args:
        folder: output folder; it is created.
        slice_: (i, n) of a job array; slices share a folder, a run of the whole folder excludes them.
    """

    def __init__(self, folder: str, slice_: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self._name = NAME if slice_ is None else "{}-slice-{}-of-{}".format(NAME, *slice_)
        self._uri = storage.join(folder, self._name)
        self._token = uuid.uuid4().hex
        self._handle: int | None = None
        self._created: list[Path] = []
        self._stop = threading.Event()
        self._renewer: threading.Thread | None = None
        self._lost = False

    def acquire(self) -> DriverLock:
        """Take the lock. A lock of a dead run is replaced.

        Raises:
            FolderInUse: another run works in the folder; the message names its host, process and start.
        """
        self._created = _absent_folders(self.folder)
        try:
            self._take()
            # The own lock exists before this look, so of two runs at least one sees the other.
            self._refuse_others()
        except BaseException:
            self.release()
            raise
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._renewer.start()
        return self

    def check(self) -> None:
        """Check that no other run has taken the lock, for example after this process was suspended.

        Raises:
            FolderInUse: another run has taken the lock.
        """
        if self._lost or self._owner().get("token") != self._token:
            raise FolderInUse(_message(self.folder, self._owner()))

    def release(self) -> None:
        """Remove the lock, and the folders made for it if they are empty."""
        self._stop.set()
        if self._renewer is not None:
            self._renewer.join()
        with suppress(OSError):
            if self._owner().get("token") == self._token:
                storage.remove(self._uri)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        for folder in self._created:
            with suppress(OSError):  # not empty: the run has written something
                folder.rmdir()

    def _owner(self) -> dict[str, Any]:
        return _read(self._uri)

    def _take(self) -> None:
        body = {
            "host": platform.node(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "token": self._token,
        }
        if not storage.is_local(self._uri):
            self._take_object(body)
            return
        path = storage.local_path(self._uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                locked = _flock(handle)
                if locked is False:
                    raise FolderInUse(_message(self.folder, _read(self._uri)))
                if not _is_at(handle, path):  # its owner has removed it since
                    os.close(handle)
                    continue
                if _is_alive(self._uri, locked=locked):
                    raise FolderInUse(_message(self.folder, _read(self._uri)))
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps(body).encode(), 0)
            except BaseException:
                with suppress(OSError):
                    os.close(handle)
                raise
            self._handle = handle
            return

    def _take_object(self, body: dict[str, Any]) -> None:
        """Take the lock by a conditional put."""
        while not storage.create(self._uri, json.dumps({**body, "renewed": 0}).encode()):
            owner = self._owner()
            if owner and _is_alive(self._uri):
                raise FolderInUse(_message(self.folder, owner))
            if self._owner().get("token") == owner.get("token"):  # another run may have replaced it already
                storage.remove(self._uri)
        self.check()

    def _refuse_others(self) -> None:
        """Refuse locks of slices for a run of the whole folder, and the lock of such a run for a slice."""
        others = [n for n in storage.sizes(self.folder) if is_lock(n)] if self._name == NAME else [NAME]
        for name in others:
            uri = storage.join(self.folder, name)
            if name != self._name and _is_held(uri):
                raise FolderInUse(_message(self.folder, _read(uri)))

    def _renew(self) -> None:
        count = 0
        while not self._stop.wait(RENEW):
            count += 1
            with suppress(OSError):
                if self._handle is not None:
                    os.utime(self._handle)
                    continue
                owner = self._owner()
                if owner.get("token") != self._token:
                    self._lost = True
                    return
                storage.write_bytes(self._uri, json.dumps({**owner, "renewed": count}).encode())


def holder(folder: str) -> str:
    """The run that works in a folder, in words; empty without one."""
    for name in storage.sizes(folder):
        uri = storage.join(folder, name)
        if is_lock(name) and _is_held(uri):
            return _message(folder, _read(uri))
    return ""


def _message(folder: str, owner: dict[str, Any]) -> str:
    if not owner:
        return f"{folder} is in use: another run has just begun or ended there; run the same command again"
    where = f"host {owner.get('host')}, process {owner.get('pid')}, since {owner.get('since')}"
    return f"{folder} is in use by another run ({where}); wait for its end, or stop it"


def _read(uri: str) -> dict[str, Any]:
    """Content of a lock; empty if it is absent or incomplete."""
    try:
        body = json.loads(storage.read_bytes(uri))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _absent_folders(folder: str) -> list[Path]:
    """The folder and its parents that do not exist yet, the innermost first."""
    if not storage.is_local(folder):
        return []
    path = storage.local_path(storage.absolute(folder))
    return [at for at in (path, *path.parents) if not at.exists()]


def _flock(handle: int) -> bool | None:
    """Lock an open file; False if another process has locked it, None on a file system without such locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(handle: int, path: Path) -> bool:
    """True if an open file is the file at a path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _is_held(uri: str) -> bool:
    """True if a lock belongs to a living run."""
    locked: bool | None = None
    if storage.is_local(uri):
        try:
            handle = os.open(storage.local_path(uri), os.O_RDWR)
        except FileNotFoundError:
            return False
        except OSError:  # a disk to read only
            return _is_alive(uri)
        try:
            locked = _flock(handle)
        finally:
            os.close(handle)
    return locked is False or _is_alive(uri, locked=locked)


def _is_alive(uri: str, *, locked: bool | None = None) -> bool:
    """True if the run of a lock is alive: by its process on this machine, by renewals on another machine.

    Args:
        uri: the lock.
        locked: True if this process has got the lock of the kernel; then no process of this machine has it.
    """
    owner = _read(uri)
    if not owner:
        return False
    if owner.get("host") == platform.node() and type(owner.get("pid")) is int:
        return locked is None and is_alive(owner["pid"])
    before, end = _state(uri), time.monotonic() + STALE
    while time.monotonic() < end:
        time.sleep(_LOOK)
        if _state(uri) != before:
            return _state(uri) is not None
    return False


def _state(uri: str) -> Any:
    """Content and time of a lock, None for an absent one."""
    owner = _read(uri)
    if not owner:
        return None
    return owner, storage.local_path(uri).stat().st_mtime_ns if storage.is_local(uri) else 0
