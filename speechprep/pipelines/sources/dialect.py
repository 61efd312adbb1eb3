"""Input dialects: the declaration of recognition and reading of each dialect.

A dialect is one file with a `DIALECT`. All files of this package are read for one. Another package adds its dialect
through the entry-point group `speechprep.dialects` (name -> "module:DIALECT").
"""

from __future__ import annotations

import pkgutil
import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

from speechprep import registry
from speechprep.errors import ConfigError
from speechprep.pipelines.sources.entry import Options, Record


@dataclass(frozen=True)
class FileHead:
    """The beginning of a file, for recognition.

    Attributes:
        uri: URI of the file.
        data: its first bytes, uncompressed.
    """

    uri: str
    data: bytes

    @property
    def name(self) -> str:
        """File name without folders."""
        return posixpath.basename(self.uri)

    @property
    def columns(self) -> set[str]:
        """Lower-case cells of the first line, split at tabs, semicolons, commas and vertical bars."""
        return {cell.strip().strip('"\ufeff') for cell in re.split(r"[\t;,|]", self.first_line)}

    @property
    def first_line(self) -> str:
        """The first line in lower case."""
        return self.data.split(b"\n", 1)[0].decode("utf-8", "replace").lower()


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

    Attributes:
        name: value of the option `format`.
        summary: one line for help and documentation.
        read: (URI, options) -> entries and rejects, as a stream.
        rank: order of recognition; of several matches the lowest rank reads the input. Ties go by name.
        whole_folder: True if one input is a folder, False if it is a file.
        file: True for a file of this dialect.
        pattern: file names to look for in a folder, if the dialect is named by `format`.
        by_suffix: True if a matching file name is enough when no dialect recognises the content.
        manifests: file names in place of the whole folder; the file itself is then recognised by its content.
        top: (names of the files in a folder, URI) -> True if the folder itself is of this dialect.
        below: file names of any folder below -> True if the input has files of this dialect.
        archive: URI -> open reader, for container files.
    """

    name: str
    summary: str
    read: Callable[[str, Options], Iterator[Record]]
    rank: int
    whole_folder: bool = False
    file: Callable[[FileHead], bool] | None = None
    pattern: re.Pattern[str] | None = None
    by_suffix: bool = False
    manifests: tuple[str, ...] = ()
    top: Callable[[list[str], str], bool] | None = None
    below: Callable[[list[str]], bool] | None = None
    archive: Callable[[str], AbstractContextManager[ArchiveReader]] | None = None

    def matches(self, name: str) -> bool:
        """Whether a file name has the pattern."""
        return self.pattern is not None and self.pattern.match(name) is not None


@lru_cache(maxsize=1)
def _built_in() -> tuple[Dialect, ...]:
    package = import_module("speechprep.pipelines.sources")
    modules = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    candidates = (getattr(import_module(module.name), "DIALECT", None) for module in modules)
    return tuple(dialect for dialect in candidates if isinstance(dialect, Dialect))


def dialects() -> dict[str, Dialect]:
    """All dialects by name, in the order of recognition.

    Raises:
        ConfigError: two dialects of one name.
    """
    others = (registry.resolve("dialects", name) for name in registry.names("dialects"))
    table: dict[str, Dialect] = {}
    for dialect in sorted((*_built_in(), *others), key=lambda dialect: (dialect.rank, dialect.name)):
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
