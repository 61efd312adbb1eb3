"""Zip files of samples, and releases of corpora packed as they unpack."""

from __future__ import annotations

import re
import zipfile
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from speechprep.errors import BadInput
from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.raw import DAMAGE
from speechprep.pipelines.sources.trees.tar import chunks, read


class ZipReader(AbstractContextManager["ZipReader"]):
    """Reader of the members of a zip file."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._stack = ExitStack()
        self._file: zipfile.ZipFile | None = None
        try:
            self._file = self._stack.enter_context(zipfile.ZipFile(self._stack.enter_context(tree.open_regular(uri))))
        except DAMAGE:
            self._stack.close()  # each entry is then a reject

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(self, entry: dict[str, Any]) -> bytes:
        """The bytes of an entry of this archive.

        Raises:
            BadInput: `archive_damaged`.
        """
        name, size = entry["member"], entry["size"]
        if self._file is None:
            raise BadInput("archive_damaged", f"{self._uri} cannot be opened as a zip file; repair it")
        try:
            with self._file.open(name) as member:
                data = b"".join(chunks(member, size))
        except (*DAMAGE, KeyError) as error:
            raise BadInput("archive_damaged", f"{self._uri}: {name} cannot be read: {error}") from None
        if len(data) < size:
            raise BadInput("archive_damaged", f"{self._uri}: {name} has {len(data)} of {size} bytes; repair the file")
        return data


_SUFFIX = re.compile(r".+\.zip$", re.IGNORECASE)

DIALECT = Dialect(
    name="zip",
    summary="a zip file of samples or of a corpus in any of these forms",
    read=read,
    file=lambda head: head.data.startswith((b"PK\x03\x04", b"PK\x05\x06")),
    pattern=_SUFFIX,
    archive=ZipReader,
)
