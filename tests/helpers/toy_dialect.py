"""Input dialects as another package declares them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Entry, Options, Record


def read(uri: str, options: Options) -> Iterator[Record]:
    """One entry for each line `FILE TEXT` after the head."""
    for number, line in enumerate(Path(uri).read_text().splitlines()[1:], 2):
        name, _, text = line.partition(" ")
        yield Entry(Path(name).stem, f"{uri}:{number}", str(Path(uri).parent / name), text=text)


DIALECT = Dialect(
    name="lists",
    summary="lists of files and texts",
    read=read,
    file=lambda head: head.data.startswith(b"#lists"),
    pattern=re.compile(r".+\.lst$"),
)
GREEDY = replace(DIALECT, name="greedy", file=lambda head: True)
GENERAL = replace(GREEDY, name="every", general=True)
SECOND_TAR = replace(DIALECT, name="tar")
