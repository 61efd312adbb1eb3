"""Folders and paths of an input, local or remote: listing in a fixed order, and confined relative paths."""

from __future__ import annotations

import glob
import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources.entry import printable, storable
from speechprep.pipelines.sources.trees import tree

_MAGIC = re.compile(
    rb"RIFF(?!....WEBP)|RIFX|RF64|fLaC|OggS|ID3|FORM|\.snd|NIST_1A|caff|riff|\xff[\xe2-\xfd]|....(ftyp|moov|mdat|wide)"
    rb"|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75|#!AMR|FLV\x01|Creative Voice File|wvpk|MAC |TTA1|\x00\x00\x01\xba|G.{187}G",
    re.DOTALL,
)
_UNUSUAL = re.compile(r"^[\s~|]|[\s|]$|%|[^\x00-\x7f]|\\")
_PARALLEL = 16  # requests at a time to an object store


def is_listed(uri: str) -> bool:
    """True if the folder of a file lists its name: for local files also if it is a broken link."""
    if tree.split(uri) is not None:
        return tree.is_file(uri)
    return os.path.lexists(storage.local_path(uri)) if storage.is_local(uri) else storage.exists(uri)


def sounds_like_audio(head: bytes) -> bool:
    """True for the first bytes of a known audio format."""
    return _MAGIC.match(head) is not None


@dataclass(frozen=True)
class Omitted:
    """A file or folder that `walk` leaves out.

    Attributes:
        path: path relative to the root.
        kind, reason: for the counts of files not read.
    """

    path: str
    kind: str
    reason: str


def walk(root: str, omitted: Callable[[Omitted], None] | None = None) -> Iterator[tuple[str, list[str]]]:
    """(folder relative to root, its file names), sorted, folders with files only. Hidden names are left out.

    A link to a folder outside of `root` is followed. A link to a folder inside is left out, because this folder is
    listed at its own place; so is a link to a folder around `root`.

    Args:
        root: URI of a folder.
        omitted: receives each file and folder that is left out.
    """
    report = omitted or _ignore
    if tree.split(root) is not None:
        yield from tree.walk_archive(root, lambda path: report(Omitted(path, "hidden", "hidden")))
        return
    if storage.is_local(root):
        path = str(storage.local_path(root))
        yield from _walk_local(path, "", _Links(os.path.realpath(path)), report)
        return
    fs, path = _filesystem(root)
    folders: dict[str, list[str]] = {}
    for file in fs.find(path):
        folder, _, name = file[len(path) :].strip("/").rpartition("/")
        if any(part.startswith(".") for part in (*folder.split("/"), name)):
            report(Omitted(posixpath.join(folder, name), "hidden", "hidden"))
        else:
            folders.setdefault(folder, []).append(name)
    for folder in sorted(folders):
        yield folder, sorted(folders[folder])


def _ignore(item: Omitted) -> None:
    """Receiver for callers without an interest in omitted files."""


@dataclass
class _Links:
    """Folders reached by links: each is listed once.

    Attributes:
        root: real path of the listed folder.
        followed: real paths of the folders behind followed links.
    """

    root: str
    followed: list[str] = field(default_factory=list)

    def refusal(self, path: str) -> str | None:
        """Reason not to follow the link; None to follow it."""
        target = os.path.realpath(path)
        if not os.path.isdir(target):
            return "link_in_a_circle"
        if _is_below(self.root, target):
            return "link_to_a_folder_around_it"
        if any(_is_below(target, known) or _is_below(known, target) for known in (self.root, *self.followed)):
            return "link_to_a_listed_folder"
        self.followed.append(target)
        return None


def _is_below(path: str, folder: str) -> bool:
    """True for a path in a folder, and for the folder itself."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _walk_local(
    path: str, folder: str, links: _Links, omitted: Callable[[Omitted], None]
) -> Iterator[tuple[str, list[str]]]:
    names: list[str] = []
    folders: list[str] = []
    linked: list[str] = []
    try:
        with os.scandir(path) as entries:
            for item in entries:
                if item.name.startswith("."):
                    omitted(Omitted(posixpath.join(folder, item.name), "hidden", "hidden"))
                elif item.is_dir(follow_symlinks=False):
                    folders.append(item.name)
                elif item.is_symlink() and os.path.isdir(item.path):
                    linked.append(item.name)
                else:
                    names.append(item.name)
    except OSError as error:
        raise ConfigError(f"cannot list {printable(path)}: {error.strerror}; make the folder readable") from None
    for name in sorted(linked):
        reason = links.refusal(os.path.join(path, name))
        if reason is None:
            folders.append(name)
        else:
            omitted(Omitted(posixpath.join(folder, name), "link to a folder", reason))
    if names:
        yield folder, sorted(names)
    for name in sorted(folders):
        yield from _walk_local(os.path.join(path, name), posixpath.join(folder, name), links, omitted)


def expand(pattern: str) -> list[str]:
    """Sorted matches of a glob pattern; `**` is any depth."""
    if storage.is_local(pattern):
        return sorted(p for p in glob.glob(str(storage.local_path(pattern)), recursive=True) if os.path.isfile(p))
    fs, path = _filesystem(pattern)
    return sorted(fs.unstrip_protocol(match) for match in fs.glob(path))


def root_of(pattern: str) -> str:
    """The common folder of all matches of a glob pattern; the parent folder of a path without wildcards."""
    return posixpath.dirname(re.split(r"[*?[]", pattern, maxsplit=1)[0])


def stamps(uris: Sequence[str]) -> list[str]:
    """A version mark for each file (size and time, or the store's tag); "" for absent files."""
    uris = [tree.outermost(uri) for uri in uris]
    if all(storage.is_local(uri) for uri in uris):
        return [_local_stamp(uri) for uri in uris]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(lambda uri: _local_stamp(uri) if storage.is_local(uri) else _remote_stamp(uri), uris))


def _local_stamp(uri: str) -> str:
    try:
        status = os.stat(uri.removeprefix("file://"))
    except (OSError, ValueError):
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def _remote_stamp(uri: str) -> str:
    try:
        with storage.remote_errors(uri):
            fs, path = _filesystem(uri)
            info = fs.info(path)
    except (OSError, ValueError):  # absent file, unknown scheme, or package not installed
        return ""
    return ":".join(str(info.get(key, "")) for key in ("size", "etag", "ETag", "md5Hash", "mtime", "LastModified"))


def _filesystem(uri: str) -> tuple[Any, str]:
    import fsspec

    fs, path = fsspec.core.url_to_fs(uri)
    return fs, path.rstrip("/")


class Finder(Protocol):
    """Search of audio files; see `trees.search.Search`."""

    def find(self, path: str, folder: str) -> str | None:
        """URI of the file that a path names, if it is not below `folder`."""

    def by_stem(self, stem: str, beside: str = "") -> list[str]:
        """URIs of the audio files with a name without suffix."""


@dataclass(frozen=True)
class Base:
    """Start and limit of the relative audio paths of a manifest.

    Attributes:
        folder: base URI of relative paths.
        limit: URI of the folder around all paths; None: any place, for a manifest on the local disk, because its user
            may also write absolute paths.
        parent: URI of the folder above; ids are relative to `folder`, else to `parent`.
        manifest: URI of the manifest.
        search: search of files that are not where their path leads; None: no search.
    """

    folder: str
    limit: str | None
    parent: str = ""
    manifest: str = ""
    search: Finder | None = field(default=None, compare=False)

    @classmethod
    def of(cls, manifest: str, audio_root: str | None, search: Finder | None = None) -> Base:
        """From `audio_root` where one is given, and within it; else from the manifest's folder. Paths of a remote
        manifest lead at most one folder up, and paths of a manifest in an archive stay in the archive."""
        if audio_root is not None:
            root = storage.absolute(audio_root).rstrip("/")
            return cls(root, root, root, manifest)
        folder = posixpath.dirname(manifest)
        parent = posixpath.dirname(folder)
        inside = tree.split(manifest)
        if inside is not None:
            root = tree.root_of_archive(inside[0])
            return cls(folder, root, root if folder == root else parent, manifest, search)
        return cls(folder, None if storage.is_local(manifest) else parent, parent, manifest, search)

    def resolve(self, path: str) -> str:
        """URI of an audio path. Absolute paths and URIs stay unchanged, because the user wrote them.

        Raises:
            BadInput: `path_outside`; `bad_path` for an impossible file name or a shell command.
        """
        uri = self._resolve(path)
        outside = tree.split(self.folder) is not None and tree.split(uri) is None
        searched = self.search is not None and "://" not in path and storage.is_local(uri)
        if outside or (searched and not tree.exists(uri)):
            found = self.search.find(path.strip(), self.folder) if self.search is not None else None
            if found is not None:
                return found
        if outside:
            archive = tree.outermost(self.folder)
            raise BadInput(
                "path_outside", f"the audio path {printable(path)!r} is not in {archive}; add the file to it"
            )
        return uri

    def _resolve(self, path: str) -> str:
        if _UNUSUAL.search(path):
            path = self._plain(path)
        if not path.strip() or "\0" in path or not storable(path):
            raise BadInput("bad_path", f"{printable(path)!r} cannot be the path of a file; correct it")
        if "://" in path or path.startswith("/"):
            return path
        if ".." not in path and "/." not in path and "//" not in path and path[0] != ".":
            return f"{self.folder}/{path}"
        scheme, sep, folder = self.folder.rpartition("://")
        full = posixpath.normpath(posixpath.join(folder, path))
        limit = full if self.limit is None else self.limit.rpartition("://")[2].rstrip("/")
        if full != limit and not full.startswith(limit + "/"):
            raise BadInput(
                "path_outside",
                f"the audio path {printable(path)!r} leads out of {self.limit}; "
                "give an absolute path or --set audio_root=FOLDER",
            )
        return scheme + sep + full

    def _plain(self, path: str) -> str:
        """The path of a file behind an unusual spelling: outer blanks, `~`, percent codes, backslashes.

        The path as written is preferred if it is the path of a file.

        Raises:
            BadInput: `bad_path` for a shell command in place of a path.
        """
        if path.rstrip().endswith("|") or path.lstrip().startswith("|"):
            raise BadInput("bad_path", f"{printable(path)!r} is a shell command; store its output as a file")
        stripped = path.strip()
        spellings = [path, stripped, unquote(stripped), stripped.replace("\\", "/")]
        if stripped.startswith("~"):
            spellings.insert(0, os.path.expanduser(stripped))
        spellings += [unicodedata.normalize(form, s) for s in spellings for form in ("NFC", "NFD")]
        for spelling in dict.fromkeys(spellings):
            place = spelling if "://" in spelling or spelling.startswith("/") else f"{self.folder}/{spelling}"
            if "\0" not in place and storable(place) and storage.is_local(place) and tree.exists(place):
                return spelling
        return stripped

    def id_of(self, path: str) -> str:
        """An id for a record without one: its path below the limit, without suffix; of an absolute path, all of it."""
        uri = self.resolve(path)
        for root in (self.folder, self.parent):
            if root and uri.startswith(root.rstrip("/") + "/"):
                uri = uri[len(root.rstrip("/")) + 1 :]
                break
        return posixpath.splitext(uri.rpartition("://")[2].lstrip("/"))[0]
