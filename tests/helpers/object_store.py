"""An object store in memory for tests, under a scheme of its own: `use(monkeypatch)` registers it.

fsspec's own `memory://` hides faults: it has folders, its open files are `io.BytesIO` with all methods of a local file,
and it accepts any key. Here a folder exists only as the prefix of a key, open files are fsspec's buffered ones as those
of S3 and GCS are, and keys with "..", "." or an empty part are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from fsspec.registry import _registry
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

SCHEME = "teststore"


class ObjectFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.objects[self.path][start:end]


class ObjectStore(AbstractFileSystem):
    protocol = SCHEME
    objects: ClassVar[dict[str, bytes]] = {}
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        key = super()._strip_protocol(path)
        if {"", ".", ".."} & set(key.split("/")):
            raise ValueError(f"no key of an object: {path!r}")
        return key

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        key = self._strip_protocol(path)
        if key in self.objects:
            return {"name": key, "size": len(self.objects[key]), "type": "file"}
        if any(other.startswith(f"{key}/") for other in self.objects):
            return {"name": key, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        key = self._strip_protocol(path)
        if self.info(key)["type"] == "file":
            names = {key}
        else:
            below = (other for other in self.objects if other.startswith(f"{key}/"))
            names = {f"{key}/{other[len(key) + 1 :].split('/')[0]}" for other in below}
        return [self.info(name) if detail else name for name in sorted(names)]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> ObjectFile:
        if mode != "rb" or self.info(path)["type"] != "file":
            raise FileNotFoundError(path)
        return ObjectFile(self, self._strip_protocol(path), mode, size=self.info(path)["size"])

    def put_file(self, lpath: str, rpath: str, *_: Any, **__: Any) -> None:
        self.objects[self._strip_protocol(rpath)] = Path(lpath).read_bytes()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        if mode == "create" and self._strip_protocol(path) in self.objects:
            raise FileExistsError(path)
        self.objects[self._strip_protocol(path)] = value

    def rm_file(self, path: str) -> None:
        self.objects.pop(self._strip_protocol(path), None)  # a prefix goes with its last key


def use(monkeypatch: Any) -> dict[str, bytes]:
    """Register the store, empty, for one test. Returns its objects by key."""
    monkeypatch.setattr(ObjectStore, "objects", {})
    monkeypatch.setitem(_registry, SCHEME, ObjectStore)
    return ObjectStore.objects


def put_folder(folder: Path, to: str) -> None:
    """Copy a local folder into the store."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        ObjectStore().put_file(str(path), f"{to}/{path.relative_to(folder).as_posix()}")
