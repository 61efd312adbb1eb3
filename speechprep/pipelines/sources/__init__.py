"""Inputs of `ingest`: the dialect of an input, and its entries.

The content decides the dialect. A file or folder that two dialects recognise is an error that names both.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.sources import files
from speechprep.pipelines.sources.dialect import Dialect, Folder, dialects, find_dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, printable, storable
from speechprep.pipelines.sources.folder import read_files
from speechprep.pipelines.sources.scan import (
    dialect_of_file,
    has_plain_audio,
    head_of,
    read_part,
    read_tree,
    scan,
)
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.search import Search
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
        ConfigError: absent input, or input of an unknown dialect, or of two dialects.
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
        if storage.is_dir(uri) and format == "auto":
            yield from read_tree(uri, options)
            return
        for form, place in locate(uri, format, options):
            yield from _read_one(form, place, options)
        return
    matches = files.expand(uri) if any(mark in uri for mark in "*?[") else []
    if not matches:
        raise ConfigError(f"no such input: {uri}; correct the path")
    # Ids of audio files are relative to the part of the pattern without wildcards.
    forms = [locate(match, format, options)[0] for match in matches]
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
    folder = uri if storage.is_dir(uri) else posixpath.dirname(uri)
    yield from read_part(form, uri, replace(options, search=Search(folder or ".")))


def locate(uri: str, format: str = "auto", options: Options | None = None) -> list[tuple[str, str]]:
    """The parts of an input, each as (name of its dialect, or "audio" for one audio file; file or folder).

    Raises:
        ConfigError: a file of an unknown dialect, or no file of the dialect `format`.
    """
    options = options or Options()
    folder = storage.is_dir(uri)
    if format == "auto":
        return _in_folder(uri, options) if folder else [(_of_file(uri, options), uri)]
    dialect = find_dialect(format)
    if not folder:
        return [(AUDIO if dialect.name == "folder" else dialect.name, uri)]
    if dialect.whole:
        return [(dialect.name, uri)]
    places = _folders_below(uri, dialect) or [storage.join(uri, n) for n in tree.names_in(uri) if dialect.matches(n)]
    places = places or _files_below(uri, dialect) or ([uri] if dialect.folder is not None else [])
    if not places:
        raise ConfigError(f"no file of the form {format!r} in {uri}; set format=auto or another form")
    return [(dialect.name, place) for place in places]


def _in_folder(uri: str, options: Options) -> list[tuple[str, str]]:
    layout = scan(uri, options)
    parts = [*layout.parts, *layout.archives]
    return [*parts, ("folder", uri)] if not parts or has_plain_audio(layout) else parts


def _folders_below(uri: str, dialect: Dialect) -> list[str]:
    if dialect.folder is None:
        return []
    places: list[str] = []
    for part, names in files.walk(uri):
        place = storage.join(uri, part) if part else uri.rstrip("/")
        inside = dialect.subtree and any(place.startswith(other + "/") for other in places)
        if not inside and dialect.folder(Folder(place, names)):
            places.append(place)
    return places


def _files_below(uri: str, dialect: Dialect) -> list[str]:
    return [
        storage.join(uri, posixpath.join(folder, name))
        for folder, names in files.walk(uri)
        for name in names
        if dialect.matches(name)
    ]


def _of_file(uri: str, options: Options) -> str:
    """The dialect of a file that the user named."""
    dialect = dialect_of_file(head_of(uri, options, named=True))
    if dialect is None:
        raise ConfigError(
            f"{uri} is no audio, manifest, table, Parquet, tar or zip file; set --set format= to one of "
            f"{', '.join(dialects())}"
        )
    return AUDIO if dialect.name == "folder" else dialect.name
