"""Inputs of `ingest`: the dialect of an input, and its entries.

The content decides the dialect. The file name decides only for texts in several possible dialects.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources import files, lines
from speechprep.pipelines.sources.dialect import Dialect, FileHead, dialects, find_dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, printable, storable
from speechprep.pipelines.sources.folder import read_files
from speechprep.pipelines.sources.unique_ids import below, folder_of

AUDIO = "audio"  # a single audio file, read like a folder with one file


def read(uri: str, format: str, options: Options) -> Iterator[Record]:
    """Entries and rejects of one input, as a stream.

    Args:
        uri: a file, a folder or a glob pattern.
        format: name of a dialect, or "auto".
        options: options of the stage for its input.

    Yields:
        Records; an entry without an id gets its place below the folder of the input as id.

    Raises:
        ConfigError: absent input, or input of an unknown dialect.
    """
    root = folder_of(uri)
    for record in _read(uri, format, options):
        if isinstance(record, Entry) and not record.id:
            try:
                record.id = check_id(below(record.place or record.where, root))
            except BadInput as error:
                yield Rejected(record.where, error, record.audio)
                continue
        yield record


def _read(uri: str, format: str, options: Options) -> Iterator[Record]:
    if not storable(uri):
        raise ConfigError(f"the path {printable(uri)!r} is not valid Unicode; rename it")
    if storage.exists(uri):
        for form, place in locate(uri, format):
            yield from _read_one(form, place, options)
        return
    matches = files.expand(uri) if any(mark in uri for mark in "*?[") else []
    if not matches:
        raise ConfigError(f"no such input: {uri}; correct the path")
    # Ids of audio files are relative to the part of the pattern without wildcards.
    forms = [locate(match, format)[0] for match in matches]
    audio = [match for form, match in forms if form == AUDIO]
    if audio:
        yield from read_files(files.root_of(uri), audio, options)
    for form, match in forms:
        if form != AUDIO:
            yield from _read_one(form, match, options)


def corpus_of(uri: str) -> str | None:
    """Name of the folder of an input; None for the current folder, because the input has no name for it."""
    folder = uri if storage.is_dir(uri) else files.root_of(uri)
    name = posixpath.basename(folder.rstrip("/"))
    return None if name in ("", ".", "..") else printable(name)


def _read_one(form: str, uri: str, options: Options) -> Iterator[Record]:
    if form == AUDIO:
        yield from read_files(posixpath.dirname(uri), [uri], options)
        return
    dialect = find_dialect(form)
    if not dialect.whole_folder or not storage.is_dir(uri):
        options.ledger.use(uri, "archive" if dialect.archive is not None else "manifest")
    yield from dialect.read(uri, options)


def locate(uri: str, format: str = "auto") -> list[tuple[str, str]]:
    """The parts of an input, each as (name of its dialect, or "audio" for one audio file; file or folder).

    Raises:
        ConfigError: a file of an unknown dialect, or no file of the dialect `format`.
    """
    folder = storage.is_dir(uri)
    if format == "auto":
        return _in_folder(uri) if folder else [(_of_file(uri), uri)]
    dialect = find_dialect(format)
    if not folder:
        return [(AUDIO if dialect.name == "folder" else dialect.name, uri)]
    if dialect.whole_folder:
        return [(dialect.name, uri)]
    places = [storage.join(uri, name) for name in files.names_in(uri) if dialect.matches(name)]
    places = places or _files_below(uri, dialect)
    if not places:
        raise ConfigError(f"no file of the form {format!r} in {uri}; set format=auto or another form")
    return [(dialect.name, place) for place in places]


def _in_folder(uri: str) -> list[tuple[str, str]]:
    """Recognise by a manifest file of the folder, by its top level, else by the first folder below with known files."""
    names = files.names_in(uri)
    table = dialects().values()
    for dialect in table:
        for manifest in dialect.manifests:
            if manifest in names:
                return [(_of_file(storage.join(uri, manifest)), storage.join(uri, manifest))]
    for dialect in table:
        if dialect.top is not None and dialect.top(names, uri):
            if dialect.whole_folder:
                return [(dialect.name, uri)]
            return [(dialect.name, storage.join(uri, name)) for name in names if dialect.matches(name)]
    for _, names_below in files.walk(uri):
        for dialect in table:
            if dialect.below is not None and dialect.below(names_below):
                places = [uri] if dialect.whole_folder else _files_below(uri, dialect)
                return [(dialect.name, place) for place in places]
    return [("folder", uri)]


def _files_below(uri: str, dialect: Dialect) -> list[str]:
    return [
        storage.join(uri, posixpath.join(folder, name))
        for folder, names in files.walk(uri)
        for name in names
        if dialect.matches(name)
    ]


def _of_file(uri: str) -> str:
    """The dialect of a file, by its first bytes."""
    head = FileHead(uri, lines.head(uri))
    if head.data.startswith(b"version https://git-lfs"):
        raise ConfigError(f"{uri} is a git LFS pointer, not the file itself; run: git lfs pull")
    table = dialects()
    for dialect in table.values():
        if dialect.file is not None and dialect.file(head):
            return AUDIO if dialect.name == "folder" else dialect.name
    for dialect in table.values():
        if dialect.by_suffix and dialect.matches(head.name):
            return dialect.name
    raise ConfigError(
        f"{uri} is no audio, manifest, table, Parquet or tar file; set --set format= to one of {', '.join(table)}"
    )
