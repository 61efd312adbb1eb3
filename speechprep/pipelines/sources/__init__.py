"""The forms of input that `ingest` reads: one file each, the table of them, and how a form is recognised.

A form is a function (uri, Options) -> entries and rejects, one at a time. It is found by what the files contain; the
suffix only decides between texts that could be several things.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol, cast

from speechprep.artifacts import storage
from speechprep.errors import ConfigError
from speechprep.pipelines.sources import files, lines
from speechprep.pipelines.sources.entry import ALIASES, Options, Record, printable, storable

FORMATS = {  # form -> module, below this package
    "folder": "folder",
    "librispeech": "releases.librispeech",
    "ljspeech": "releases.ljspeech",
    "commonvoice": "releases.commonvoice",
    "jsonl": "manifests.jsonl",
    "table": "manifests.table",
    "parquet": "manifests.parquet",
    "tar": "tar",
    "lhotse": "manifests.lhotse",
}
_FOLDERS = ("folder", "librispeech", "commonvoice")  # forms that are a whole folder
_FILES = {  # what to look for in a folder when the form is given
    "ljspeech": re.compile(r"metadata\.csv$"),
    "jsonl": re.compile(r".+\.(jsonl|json)(\.gz)?$"),
    "table": re.compile(r".+\.(csv|tsv)(\.gz)?$"),
    "parquet": re.compile(r".+\.parquet$"),
    "tar": re.compile(r".+\.(tar|tar\.gz|tgz)$"),
    "lhotse": re.compile(r".*cuts.*\.jsonl(\.gz)?$"),
}
_MANIFESTS = ("manifest.jsonl", "metadata.jsonl", "manifest.json")
_JSON = re.compile(r"\.jsonl?(\.gz)?$")


def read(uri: str, format: str, options: Options) -> Iterator[Record]:
    """Entries and rejects of one input, as a stream.

    Args:
        uri: a file, a folder or a glob pattern.
        format: one of FORMATS, or "auto".
        options: what the user says about the input.

    Raises:
        ConfigError: nothing there, or nothing that is known.
    """
    if not storable(uri):
        raise ConfigError(f"the path {printable(uri)!r} is not valid Unicode; rename it")
    if storage.exists(uri):
        for form, found in locate(uri, format):
            yield from _reader(form)(found, options)
        return
    matches = files.expand(uri) if any(mark in uri for mark in "*?[") else []
    if not matches:
        raise ConfigError(f"no such input: {uri}")
    # Audio files among the matches keep ids relative to the part of the pattern without wildcards.
    root = files.root_of(uri)
    forms = [locate(match, format)[0] for match in matches]
    audio = [match for form, match in forms if form == "audio"]
    if audio:
        from speechprep.pipelines.sources.folder import read_files

        yield from read_files(root, audio)
    for form, match in forms:
        if form != "audio":
            yield from _reader(form)(match, options)


def corpus_of(uri: str) -> str | None:
    """The name of the folder that an input is, or lies in; None for the current one, which has no name in the input."""
    folder = uri if storage.is_dir(uri) else files.root_of(uri)
    name = posixpath.basename(folder.rstrip("/"))
    return None if name in ("", ".", "..") else printable(name)


def _reader(form: str) -> Callable[[str, Options], Iterator[Record]]:
    if form == "audio":
        from speechprep.pipelines.sources.folder import read_files

        return lambda uri, options: read_files(posixpath.dirname(uri), [uri])
    module = import_module(f"{__name__}.{FORMATS[form]}")
    return cast(Callable[[str, Options], Iterator[Record]], module.read)


class ArchiveReader(Protocol):
    """Random access to the entries of a tar or Parquet input."""

    def read(self, entry: dict[str, Any]) -> bytes:
        """Encoded audio of one entry.

        Raises:
            BadInput: the entry has no readable audio.
        """
        ...


def archive_reader(form: str, uri: str) -> AbstractContextManager[ArchiveReader]:
    """The open reader of a container file (`form`: tar or parquet)."""
    module = import_module(f"{__name__}.{FORMATS[form]}")
    return cast(AbstractContextManager[ArchiveReader], module.Reader(uri))


def locate(uri: str, format: str = "auto") -> list[tuple[str, str]]:
    """The (form, file or folder) pairs that an input consists of.

    Raises:
        ConfigError: there is nothing that is known.
    """
    folder = storage.is_dir(uri)
    if format == "auto":
        return _in_folder(uri) if folder else [(_of_file(uri), uri)]
    if not folder:
        return [("audio" if format == "folder" else format, uri)]
    if format in _FOLDERS:
        return [(format, uri)]
    found = [storage.join(uri, n) for n in files.names_in(uri) if _FILES[format].match(n)]
    if not found:
        found = [f for f in _all_files(uri) if _FILES[format].match(posixpath.basename(f))]
    if not found:
        raise ConfigError(f"no file of the form {format!r} in {uri}")
    return [(format, f) for f in found]


def _in_folder(uri: str) -> list[tuple[str, str]]:
    """By the manifest in the folder; else by the first folder below with something known in it."""
    names = files.names_in(uri)
    for manifest in _MANIFESTS:
        if manifest in names:
            return [(_of_file(storage.join(uri, manifest)), storage.join(uri, manifest))]
    if "metadata.csv" in names:
        return [(_of_file(storage.join(uri, "metadata.csv")), storage.join(uri, "metadata.csv"))]
    if any(name.endswith(".tsv") for name in names) and storage.is_dir(storage.join(uri, "clips")):
        return [("commonvoice", uri)]
    cuts = [name for name in names if _FILES["lhotse"].match(name)]
    if cuts:
        return [("lhotse", storage.join(uri, name)) for name in cuts]
    for _, found in files.walk(uri):
        for form in ("parquet", "tar"):
            if any(_FILES[form].match(name) for name in found):
                return [(form, f) for f in _all_files(uri) if _FILES[form].match(posixpath.basename(f))]
        if any(name.endswith(".trans.txt") for name in found):
            return [("librispeech", uri)]
        if any(files.is_audio(name) for name in found):
            return [("folder", uri)]
    return [("folder", uri)]


def _all_files(uri: str) -> list[str]:
    return [storage.join(uri, posixpath.join(folder, name)) for folder, names in files.walk(uri) for name in names]


def _of_file(uri: str) -> str:
    """The form of a file, by its first bytes."""
    head = lines.head(uri)
    name = posixpath.basename(uri)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head[257:262] == b"ustar" or _FILES["tar"].match(name):
        return "tar"
    if files.sounds_like_audio(head) or files.is_audio(name):
        return "audio"
    if head.startswith(b"version https://git-lfs"):
        raise ConfigError(f"{uri} is a git LFS pointer, not the file itself; run: git lfs pull")
    if _JSON.search(name) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        first = head.split(b"\n", 1)[0]
        cut = b'"start"' in first and (b'"supervisions"' in first or b'"recording"' in first)
        return "lhotse" if cut else "jsonl"
    return _of_table(uri, head.split(b"\n", 1)[0].decode("utf-8", "replace").lower())


def _of_table(uri: str, header: str) -> str:
    columns = {column.strip().strip('"\ufeff') for column in re.split(r"[\t;,|]", header)}
    if {"client_id", "path", "sentence"} <= columns:
        return "commonvoice"
    if columns & set(ALIASES["audio"]):
        return "table"
    if header.count("|") in (1, 2):
        return "ljspeech"
    if _FILES["table"].match(posixpath.basename(uri)):
        return "table"
    raise ConfigError(
        f"{uri} is no audio, manifest, table, Parquet or tar file; --set format= one of {', '.join(FORMATS)}"
    )
