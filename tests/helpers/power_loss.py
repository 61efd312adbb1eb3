"""Power losses without pulling a plug: the operations of a run on a folder are recorded, and replayed in part.

`Recorder` replaces the functions of `os` that flush, rename, make and remove. Before each of them the folder is
compared with its last known state, so writes of any library are recorded too, as whole contents.

`Disk.after(log, rng)` gives a state that a disk may have after a power loss, by the rules of POSIX:

- a file has its flushed content; a write after that may be there, absent, cut, or zeros of the right length;
- a folder has its names at its last flush; of the later changes any subset may be there. A rename is one change.

No order holds between files, between folders, or between the changes of one folder. Real file systems allow less.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = tuple[Any, ...]


@dataclass
class Disk:
    """Names and contents of a folder, by path relative to it. A file has a number, kept by a rename."""

    names: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, root: Path) -> Disk:
        disk = cls()
        for path in sorted(root.rglob("*")):
            at = path.relative_to(root).as_posix()
            if path.is_dir():
                disk.folders.add(at)
            else:
                disk.names[at] = -1 - len(disk.names)
                disk.contents[disk.names[at]] = path.read_bytes()
        return disk

    def change(self, event: Event) -> None:
        """Apply a change of names."""
        kind, at = event[0], event[1]
        if kind == "mkdir":
            self.folders.add(at)
        elif kind == "link":
            self.names[at] = event[2]
        elif kind == "rename":
            if self.names.get(at) == event[3]:
                del self.names[at]
            self.names[event[2]] = event[3]
        elif kind == "unlink":
            self.names.pop(at, None)
        elif kind == "rmdir":
            self.folders.discard(at)
            below = f"{at}/"
            self.folders -= {f for f in self.folders if f.startswith(below)}
            self.names = {n: i for n, i in self.names.items() if not n.startswith(below)}

    def write(self, root: Path) -> None:
        """Make this the content of an empty folder. Names in absent folders are lost."""
        for at in sorted(self.folders):
            if self._is_there(at):
                (root / at).mkdir()
        for at, number in self.names.items():
            if self._is_there(at):
                (root / at).write_bytes(self.contents[number])

    def _is_there(self, at: str) -> bool:
        parents = [p.as_posix() for p in Path(at).parents][:-1]
        return all(p in self.folders for p in parents)


def folder_of(event: Event) -> str:
    """The folder whose names an event changes; of a rename, the one of the new name."""
    return (event[2] if event[0] == "rename" else event[1]).rpartition("/")[0]


def after(start: Disk, log: list[Event], rng: random.Random) -> Disk:
    """A state of the disk after a power loss at the end of the log."""
    disk = Disk(dict(start.names), dict(start.contents), set(start.folders))
    pending: dict[str, list[Event]] = {}
    flushed: dict[int, bytes] = dict(start.contents)
    written: dict[int, list[bytes]] = {}
    for event in log:
        if event[0] == "data":
            written.setdefault(event[1], []).append(event[2])
        elif event[0] == "fsync":
            if written.get(event[1]):
                flushed[event[1]] = written.pop(event[1])[-1]
        elif event[0] == "fsyncdir":
            for change in pending.pop(event[1], []):
                disk.change(change)
        else:
            pending.setdefault(folder_of(event), []).append(event)
    share = rng.choice([0.0, 0.2, 0.5, 0.8, 1.0])
    some = [event for events in pending.values() for event in events if rng.random() < share]
    rng.shuffle(some) if rng.random() < 0.5 else None
    for event in sorted(some, key=log.index) if rng.random() < 0.7 else some:
        disk.change(event)
    disk.contents = {i: _content(flushed.get(i), written.get(i, []), rng) for i in set(disk.names.values())}
    return disk


def _content(flushed: bytes | None, later: list[bytes], rng: random.Random) -> bytes:
    states = [flushed or b"", *later]
    if later:
        last = later[-1]
        states += [last, last[: rng.randrange(len(last) + 1)], bytes(len(last)), b""]
    return rng.choice(states)


class Recorder:
    """Records the operations below a folder; optionally one of them fails.

    Args:
        root: the folder.
        fail_at: number of the flush, rename or new folder that fails; None: none.
        error: its error number, for example `errno.ENOSPC`.
    """

    def __init__(self, root: Path, fail_at: int | None = None, error: int = errno.EIO) -> None:
        self.root = root
        self.start = Disk.of(root)
        self.log: list[Event] = []
        self.operations = 0
        self._fail_at, self._error = fail_at, error
        self._now = Disk(dict(self.start.names), dict(self.start.contents), set(self.start.folders))
        self._stamps: dict[str, tuple[int, int, int]] = {}
        self._next = 0
        self._lock = threading.RLock()
        self._saved: dict[str, Any] = {}

    def __enter__(self) -> Recorder:
        self._look()
        self.log.clear()
        for name in ("fsync", "replace", "rename", "unlink", "remove", "mkdir", "rmdir"):
            self._saved[name] = getattr(os, name)
            setattr(os, name, getattr(self, f"_{name}"))
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self._saved.items():
            setattr(os, name, function)
        self._look()

    def _at(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Path relative to the folder, None outside of it."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        if dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fspath(path))
        relative = os.path.relpath(os.path.abspath(os.fspath(path)), self.root)
        return None if relative.startswith("..") else "" if relative == "." else relative

    def _look(self) -> None:
        """Record writes and new names since the last look."""
        for folder, names, files in os.walk(self.root):
            for name in sorted(names):
                at = os.path.relpath(os.path.join(folder, name), self.root)
                if at not in self._now.folders:
                    self._record(("mkdir", at))
            for name in sorted(files):
                path = os.path.join(folder, name)
                at = os.path.relpath(path, self.root)
                stat = os.stat(path)
                stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if self._stamps.get(at) == stamp and at in self._now.names:
                    continue
                self._stamps[at] = stamp
                content = Path(path).read_bytes()
                if at not in self._now.names:
                    self._next += 1
                    self._record(("link", at, self._next))
                number = self._now.names[at]
                if self._now.contents.get(number) != content:
                    self._now.contents[number] = content
                    self.log.append(("data", number, content))

    def _record(self, event: Event) -> None:
        self.log.append(event)
        self._now.change(event)

    def _may_fail(self) -> None:
        if self._fail_at == self.operations:
            self.operations += 1
            raise OSError(self._error, os.strerror(self._error))
        self.operations += 1

    def _fsync(self, handle: int) -> None:
        with self._lock:
            at = self._at(handle)
            if at is not None:
                self._look()
                self._may_fail()
                is_folder = at == "" or at in self._now.folders
                self._record(("fsyncdir", at) if is_folder else ("fsync", self._now.names[at]))

    def _replace(self, source: Any, to: Any, **options: Any) -> None:
        with self._lock:
            old, new = self._at(source), self._at(to)
            if new is not None:
                self._look()
                self._may_fail()
            self._saved["replace"](source, to, **options)
            if new is not None and old in self._now.names:
                self._record(("rename", old, new, self._now.names[old]))
                self._stamps[new] = self._stamps.pop(old)
            elif new is not None:
                self._look()

    _rename = _replace

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._lock:
            at = self._at(path, dir_fd)
            if at is not None:
                self._look()
            self._saved["unlink"](path, dir_fd=dir_fd)
            if at is not None:
                self._record(("unlink", at))

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._lock:
            at = self._at(path, dir_fd)
            self._saved["rmdir"](path, dir_fd=dir_fd)
            if at is not None:
                self._record(("rmdir", at))

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with self._lock:
            at = self._at(path, dir_fd)
            if at is not None and not os.path.exists(path):
                self._look()
                self._may_fail()
            self._saved["mkdir"](path, mode, dir_fd=dir_fd)
            if at is not None:
                self._record(("mkdir", at))
