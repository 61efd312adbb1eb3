"""Scan of a folder or archive: its parts, each with its dialect, and the records of all parts.

Manifests and corpus releases are found at any level. Their folders belong to them: other audio files there are counted
as not read. Audio files and archives that belong to no manifest are read for themselves.

A `manifest.*` or `metadata.*` covers its folder and the folders below: other lists there, often parts of it or lists of
a split, would name its recordings again. They are not read, and counted. Deeper `manifest.*` and `metadata.*` are read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources import files, lines
from speechprep.pipelines.sources.dialect import Dialect, FileHead, Folder, dialects, find_dialect, recognise
from speechprep.pipelines.sources.entry import ALIASES, Entry, Options, Record, Rejected, printable
from speechprep.pipelines.sources.folder import holds_audio, in_folder, is_sidecar
from speechprep.pipelines.sources.timed import text_lists
from speechprep.pipelines.sources.timed.companions import Companions
from speechprep.pipelines.sources.timed.sidecars import MAX_TIMED, is_sidecar_form, read_text
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio
from speechprep.pipelines.sources.trees.search import Search

_LFS = b"version https://git-lfs"
_COVERING = re.compile(r"(manifest|metadata)\.(jsonl?|csv|tsv|parquet)(\.(gz|bz2|xz))?", re.IGNORECASE)
_LISTS = ("jsonl", "table", "filelist")  # dialects of lists that may be parts of another list


@dataclass
class Layout:
    """The parts of a folder.

    Attributes:
        root: URI of the folder.
        parts: (name of a dialect, URI of a file or folder).
        archives: the same for the archives in it.
        owned: folders that belong to a part, with all folders below.
        alone: folders that belong to a part, without the folders below.
        releases: folders of corpus releases; nothing below them is scanned.
        covered: folders with a `manifest.*` or `metadata.*`.
        companions: files that may describe recordings in other folders, or several recordings.
    """

    root: str
    parts: list[tuple[str, str]] = field(default_factory=list)
    archives: list[tuple[str, str]] = field(default_factory=list)
    owned: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    releases: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)
    companions: list[str] = field(default_factory=list)

    def in_release(self, folder: str) -> bool:
        """Whether a folder is below the folder of a corpus release."""
        return bool(self.releases) and self._below(folder, self.releases)

    def is_covered(self, folder: str) -> bool:
        """Whether a `manifest.*` or `metadata.*` covers a folder."""
        return bool(self.covered) and self._below(folder, self.covered)

    def _below(self, folder: str, owners: set[str]) -> bool:
        while len(folder) >= len(self.root):
            if folder in owners:
                return True
            folder = posixpath.dirname(folder)
        return False

    def belongs(self, folder: str) -> bool:
        """Whether a folder belongs to a part."""
        return folder in self.alone or self._below(folder, self.owned)


def head_of(uri: str, options: Options, *, named: bool) -> FileHead:
    """The beginning of a file.

    Raises:
        ConfigError: the file cannot be opened.
    """
    column = options.columns.get("audio")
    columns = frozenset((column,) if column else ALIASES["audio"])
    return FileHead(uri, lines.head(uri), named, columns, options.search)


def dialect_of_file(head: FileHead) -> Dialect | None:
    """The dialect of a file, by its first bytes; None for an unknown form.

    Raises:
        ConfigError: two dialects recognise it, or it is a pointer of git LFS.
    """
    if head.data.startswith(_LFS):
        raise ConfigError(f"{head.uri} is a git LFS pointer, not the file itself; run: git lfs pull")
    matching = (d for d in dialects().values() if d.file is not None and (head.named or d.matches(head.name)))
    return recognise((d for d in matching if d.file is not None and d.file(head)), head.uri)


def scan(root: str, options: Options) -> Layout:
    """The parts of a folder or archive.

    Raises:
        ConfigError: two dialects recognise a file or folder.
    """
    layout = Layout(root.rstrip("/"))
    table = list(dialects().values())
    of_folders = [dialect for dialect in table if dialect.folder is not None]
    of_files = [dialect for dialect in table if dialect.file is not None and dialect.pattern is not None]
    for below, names in files.walk(root):
        place = storage.join(root, below) if below else layout.root
        if layout.in_release(place):
            continue
        folder = Folder(place, names)
        dialect = recognise((d for d in of_folders if d.folder is not None and d.folder(folder)), place)
        if dialect is not None:
            layout.parts.append((dialect.name, place))
            (layout.owned if dialect.subtree else layout.alone).add(place)
            if dialect.subtree:
                layout.releases.add(place)
            continue
        for name in sorted(names, key=lambda name: _COVERING.fullmatch(name) is None):
            uri = storage.join(place, name)
            if is_audio(name) or is_sidecar(name, folder.audio_keys):
                continue
            known = any(d.matches(name) for d in of_files) and _add_file(layout, uri, options)
            if not known and (is_sidecar_form(name) or text_lists.is_list_name(name)):
                layout.companions.append(uri)
    return layout


def _add_file(layout: Layout, uri: str, options: Options) -> bool:
    """Add a file to the layout; False for a file of no dialect."""
    try:
        head = head_of(uri, options, named=False)
    except ConfigError:
        return False  # counted as not read
    dialect = None if head.data.startswith(_LFS) else dialect_of_file(head)
    if dialect is None:
        return False
    covering, place = _COVERING.fullmatch(head.name) is not None, posixpath.dirname(uri)
    if dialect.name in _LISTS and not covering and layout.is_covered(place):
        return False
    if covering:
        layout.covered.add(place)
    if dialect.name in ("tar", "zip"):
        layout.archives.append((dialect.name, uri))
    else:
        layout.parts.append((dialect.name, uri))
        layout.owned.add(posixpath.dirname(uri))
    return True


@dataclass
class _Referenced:
    """Folders and archives with audio of a manifest."""

    folders: set[str] = field(default_factory=set)
    archives: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """Note the place of the audio of a record."""
        if isinstance(record, Entry):
            if record.archive is None:
                self.folders.add(posixpath.dirname(record.audio))
            elif record.archive in ("tar", "zip"):
                self.folders.add(posixpath.dirname(f"{record.audio}{tree.MARK}{record.member}"))
                self.archives.add(record.audio)


def read_tree(root: str, options: Options) -> Iterator[Record]:
    """The records of all parts of a folder or archive.

    Raises:
        ConfigError: two dialects recognise a file or folder.
    """
    options = replace(options, search=Search(root))
    layout = scan(root, options)
    referenced = _Referenced()
    for name, place in layout.parts:
        for record in read_part(name, place, options):
            referenced.add(record)
            yield record
    for name, place in layout.archives:
        if place not in referenced.archives:
            yield from read_part(name, place, options)
    companions = Companions(options.search)
    for uri in layout.companions:
        try:
            companions.add(uri, lambda place: read_text(place, MAX_TIMED))
        except BadInput as error:
            where = printable(uri)
            yield Rejected(where, BadInput(error.code, f"{where}: {error}"))
    for below, names in files.walk(root):
        place = storage.join(root, below) if below else layout.root
        if place not in referenced.folders and not layout.belongs(place):
            yield from in_folder(root, below, names, options, companions)
    yield from companions.without_audio()


def has_plain_audio(layout: Layout) -> bool:
    """Whether a folder has audio files that belong to no part."""
    for below, names in files.walk(layout.root):
        place = storage.join(layout.root, below) if below else layout.root
        if not layout.belongs(place) and holds_audio(place, names):
            return True
    return False


def read_part(name: str, place: str, options: Options) -> Iterator[Record]:
    """The records of one part: a file or folder in one dialect."""
    dialect = find_dialect(name)
    if not dialect.whole and not tree.is_dir(place):
        options.ledger.use(place, "archive" if name in ("tar", "zip") else "manifest")
    for record in dialect.read(place, options):
        yield placed(record, options)


def placed(record: Record, options: Options) -> Record:
    """The record; audio inside an archive as a member of the archive."""
    if not isinstance(record, Entry) or record.archive is not None or not record.audio:
        return record
    try:
        found = tree.member_of(record.audio)
    except OSError as error:
        return _refused(record, "archive_damaged", f"its archive cannot be opened: {error.strerror or error}")
    if found is None:
        return record
    uri, name, archive, member = found
    if member is None:
        return _refused(record, "audio_missing", f"no member {name!r} in {uri}; correct the path")
    if member.fault:
        return _refused(record, "bad_member", f"the member {name!r} {member.fault}")
    record.archive, record.audio, record.member = archive.kind, uri, name
    record.start, record.size = member.start, member.size
    record.order = f"{uri}\0{member.position:09d}"
    stem = posixpath.basename(uri).split(".")[0]
    if record.place is not None:
        record.place = f"{posixpath.dirname(uri)}/{stem}/{_in_archive(record.place)}"
    if options.archive_ids and record.id:
        record.id = f"{stem}/{record.id}"
    return record


def _in_archive(place: str) -> str:
    parts = tree.split(place)
    return parts[1] if parts else posixpath.basename(place)


def _refused(entry: Entry, code: str, reason: str) -> Rejected:
    return Rejected(
        entry.id or entry.where, BadInput(code, f"{entry.where}: {reason}"), entry.audio, claims=bool(entry.id)
    )
