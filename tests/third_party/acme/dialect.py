"""Dialect `acme-list`: a line for each recording, `FILE|TEXT`, below the line `#acme`."""

from __future__ import annotations

import re
from pathlib import Path

from speechprep.pipelines.sources.dialect import Dialect
from speechprep.pipelines.sources.entry import Entry


def read(uri, options):
    """One entry for each line."""
    for number, line in enumerate(Path(uri).read_text().splitlines()[1:], 2):
        name, _, text = line.partition("|")
        yield Entry(Path(name).stem, f"{Path(uri).name}:{number}", str(Path(uri).parent / name), text=text)


DIALECT = Dialect(
    name="acme-list",
    summary="lists of acme: FILE|TEXT",
    read=read,
    file=lambda head: head.data.startswith(b"#acme"),
    pattern=re.compile(r".+\.acme$"),
)
