"""File lists of speech synthesis (Piper, VITS, Tacotron): `wavs/a.wav|text` or `wavs/a.wav|speaker|text`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from speechprep.errors import BadInput
from speechprep.pipelines.sources import lines
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Options, Record, Rejected
from speechprep.pipelines.sources.fields import to_record
from speechprep.pipelines.sources.files import Base
from speechprep.pipelines.sources.manifests.table import cells
from speechprep.pipelines.sources.releases.ljspeech import bar_cells, columns_of, values_of
from speechprep.pipelines.sources.trees.audio_names import is_audio

_SAMPLE = 50  # lines that decide on the columns


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a list; relative paths start from its folder, else from a folder above."""
    base = Base.of(uri, options.audio_root, options.search)
    first = [line.split("|") for line in lines.head(uri, 1 << 16).decode("utf-8-sig", "replace").splitlines()[:_SAMPLE]]
    columns = columns_of([row for row in first if len(row) > 1])
    for where, row in cells(uri, "|"):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
        elif len(row) < 2:
            reason = f"{where}: {len(row)} cells; path|text is needed; correct the line"
            yield Rejected(where, BadInput("bad_row", reason))
        else:
            try:
                values = values_of(row, columns)
            except BadInput as error:
                yield Rejected(where, BadInput(error.code, f"{where}: {error}"))
                continue
            yield to_record({"audio": row[0], **values}, base, where, Options(options.audio_root, options.words))


def _is_list(head: FileHead) -> bool:
    row = bar_cells(head)
    return row is not None and is_audio(row[0].strip())


DIALECT = Dialect(
    name="filelist",
    summary="a file list of speech synthesis (Piper, VITS): path|text or path|speaker|text",
    read=read,
    file=_is_list,
    pattern=re.compile(r".+\.(txt|csv|lst|list|train|val|test)", re.IGNORECASE),
)
