"""Input dialects: the declaration of recognition and reading of each dialect.

A dialect is one file with a `DIALECT`. All files of this package are read for one. Another package adds its dialect
through the entry-point group `speechprep.dialects` (name -> "module:DIALECT").
"""

from __future__ import annotations

import json
import pkgutil
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any, Protocol

from speechprep import registry
from speechprep.errors import ConfigError
from speechprep.pipelines.sources.entry import ALIASES, Options, Record
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio

MAX_NAME = 4096  # characters of a path
HEAD = 4096  # bytes of the beginning of a file
_KEY = re.compile(r'"([^"\\]{1,64})"\s*:')


@dataclass(frozen=True)
class FileHead:
    """The beginning of a file, for recognition.

    Attributes:
        uri: URI of the file.
        data: its first bytes, uncompressed.
        named: True for a file that the user named; False for a file found in a folder, which needs clearer signs.
        audio_columns: names of columns with audio in this input.
        search: search of the audio files of the input.
    """

    uri: str
    data: bytes
    named: bool = True
    audio_columns: frozenset[str] = frozenset(ALIASES["audio"])
    search: Any = None

    def names_audio(self, name: str) -> bool:
        """Whether a name, with or without suffix and folders, is that of an audio file of the input."""
        if not name.strip() or len(name) > MAX_NAME:
            return False
        base = posixpath.basename(name.strip())
        if is_audio(base):
            return True
        return self.search is not None and bool(self.search.by_stem(base, posixpath.dirname(self.uri)))

    @property
    def name(self) -> str:
        """File name without folders."""
        return posixpath.basename(self.uri)

    @property
    def is_text(self) -> bool:
        """True for files without zero bytes."""
        return b"\0" not in self.data

    @property
    def columns(self) -> set[str]:
        """Lower-case cells of the first line, split at tabs, semicolons, commas and vertical bars."""
        return {cell.strip().strip('"\ufeff') for cell in re.split(r"[\t;,|]", self.first_line)}

    @property
    def first_line(self) -> str:
        """The first line in lower case; empty for binary files."""
        if not self.is_text:
            return ""
        return self.data.split(b"\n", 1)[0].decode("utf-8", "replace").strip().lower()

    @property
    def lines(self) -> list[str]:
        """The complete lines of the beginning, without blank ones."""
        text = self.data.decode("utf-8-sig", "replace") if self.is_text else ""
        complete = text if len(self.data) < HEAD else text.rpartition("\n")[0]
        return [line for line in complete.splitlines() if line.strip()]

    @cached_property
    def first_object(self) -> dict[str, Any] | None:
        """The first JSON object of JSON Lines or of an array, as far as the beginning holds it; None for other files.

        Of an object that is cut off, only its keys are certain.
        """
        text = self.data.decode("utf-8-sig", "replace").lstrip()
        text = text[1:].lstrip() if text.startswith("[") else text
        if not text.startswith("{"):
            return None
        try:
            value, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            return dict.fromkeys(_KEY.findall(text))
        return value if isinstance(value, dict) else None


@dataclass(frozen=True)
class Folder:
    """The files of a folder, for recognition.

    Attributes:
        uri: URI of the folder.
        names: names of its files, sorted.
    """

    uri: str
    names: list[str]

    @cached_property
    def audio_keys(self) -> set[str]:
        """Parts before the first dot of the names of the audio files."""
        return {unicodedata.normalize("NFC", name).split(".")[0] for name in self.names if is_audio(name)}

    def has_folder(self, name: str) -> bool:
        """True if the folder has a folder of this name."""
        return tree.is_dir(f"{self.uri}/{name}")


class ArchiveReader(Protocol):
    """Random access to the entries of a container file."""

    def read(self, entry: dict[str, Any]) -> bytes:
        """Encoded audio of one entry.

        Raises:
            BadInput: the entry has no readable audio.
        """
        ...


@dataclass(frozen=True)
class Dialect:
    """One form of input.

    A file or folder that two dialects recognise is an error that names both. General dialects take only what no other
    dialect recognises.

    Attributes:
        name: value of the option `format`.
        summary: one line for help and documentation.
        read: (URI, options) -> entries and rejects, as a stream.
        file: True for a file of this dialect.
        pattern: names of the files that may be of this dialect; others are not opened in folders.
        folder: True for a folder of this dialect; `read` then gets the folder.
        subtree: the folders below a folder of this dialect belong to it.
        general: recognises a syntax, and no particular form.
        whole: reads a folder with all folders below at once if the user names this dialect, and reports its files.
        archive: URI -> open reader, for container files.
    """

    name: str
    summary: str
    read: Callable[[str, Options], Iterator[Record]]
    file: Callable[[FileHead], bool] | None = None
    pattern: re.Pattern[str] | None = None
    folder: Callable[[Folder], bool] | None = None
    subtree: bool = False
    general: bool = False
    whole: bool = False
    archive: Callable[[str], AbstractContextManager[ArchiveReader]] | None = None

    def matches(self, name: str) -> bool:
        """Whether a file name has the pattern."""
        return self.pattern is not None and self.pattern.fullmatch(name) is not None


@lru_cache(maxsize=1)
def _built_in() -> tuple[Dialect, ...]:
    package = import_module("speechprep.pipelines.sources")
    modules = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    candidates = (getattr(import_module(module.name), "DIALECT", None) for module in modules)
    return tuple(dialect for dialect in candidates if isinstance(dialect, Dialect))


def dialects() -> dict[str, Dialect]:
    """All dialects by name, in alphabetical order.

    Raises:
        ConfigError: two dialects of one name.
    """
    others = (registry.resolve("dialects", name) for name in registry.names("dialects"))
    table: dict[str, Dialect] = {}
    for dialect in sorted((*_built_in(), *others), key=lambda dialect: dialect.name):
        if dialect.name in table:
            raise ConfigError(f"two input dialects are named {dialect.name!r}; uninstall one of their packages")
        table[dialect.name] = dialect
    return table


def find_dialect(name: str) -> Dialect:
    """The dialect with a name.

    Raises:
        ConfigError: unknown name; the message lists the dialects.
    """
    table = dialects()
    if name not in table:
        raise ConfigError(f"unknown format {name!r}; choose auto or one of: {', '.join(sorted(table))}")
    return table[name]


def recognise(matching: Iterable[Dialect], place: str) -> Dialect | None:
    """The one dialect of a file or folder; None without one.

    Args:
        matching: the dialects that recognise it.
        place: its URI, for the message.

    Raises:
        ConfigError: two dialects recognise it.
    """
    every = list(matching)
    candidates = [dialect for dialect in every if not dialect.general] or every
    if len(candidates) > 1:
        names = " and ".join(dialect.name for dialect in candidates)
        raise ConfigError(f"{place} is recognised as {names}; name its form with --set format=")
    return candidates[0] if candidates else None
