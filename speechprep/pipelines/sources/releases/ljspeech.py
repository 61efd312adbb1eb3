"""The LJSpeech layout: `metadata.csv` with `id|text|normalised text`, audio in `wavs/`. Piper's lists are the same."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator

from speechprep.artifacts import storage
from speechprep.artifacts.languages import language_code
from speechprep.errors import BadInput
from speechprep.pipelines.sources import lines
from speechprep.pipelines.sources.dialect import Dialect, FileHead
from speechprep.pipelines.sources.entry import Entry, Options, Record, Rejected, check_id, clean_text, printable
from speechprep.pipelines.sources.manifests.table import cells
from speechprep.pipelines.sources.trees import tree
from speechprep.pipelines.sources.trees.audio_names import is_audio

_FOLDERS = ("wavs", "wav", "")
_SAMPLE = 50  # lines that decide on the columns

# Columns behind the id, by their number.
Columns = dict[str, int]


def read(uri: str, options: Options) -> Iterator[Record]:
    """Entries of a metadata file; with the normalised text (numbers spelled out) if present."""
    folder = posixpath.dirname(uri)
    places = [storage.join(folder, name) if name else folder for name in _FOLDERS]
    wavs = next((place for place in places if tree.is_dir(place)), folder)
    audio: dict[str, list[str]] = {}
    for name in tree.names_in(wavs):
        if is_audio(name):
            audio.setdefault(posixpath.splitext(name)[0], []).append(storage.join(wavs, name))
    columns = columns_of([line.split("|") for line in _head_lines(uri)])
    for where, row in cells(uri, "|"):
        if isinstance(row, BadInput):
            yield Rejected(where, row)
            continue
        try:
            yield from _entries(row, where, wavs, audio, columns, options)
        except BadInput as error:
            has_id = error.code not in ("bad_id", "bad_row")
            yield Rejected(printable(row[0].strip()) if has_id else where, error, claims=has_id)


def _entries(
    row: list[str], where: str, wavs: str, audio: dict[str, list[str]], columns: Columns, options: Options
) -> Iterator[Entry]:
    if len(row) < 2:
        raise BadInput("bad_row", f"{where}: {len(row)} cells; id|text or id|text|normalised text is needed")
    id = check_id(row[0].strip())
    found = audio.get(id) or (options.search.by_stem(id, wavs) if options.search is not None else [])
    if not found:
        raise BadInput("audio_missing", f"{where}: no audio file {id}.* in {wavs}")
    for uri in found:  # more than one is refused as a duplicate id
        values = values_of(row, columns)
        yield Entry(id, where, uri, text=values["text"], speaker=values["speaker"], language=values["language"])


def values_of(row: list[str], columns: Columns) -> dict[str, str | None]:
    """Text, speaker and language of a row.

    Raises:
        BadInput: `text_encoding`.
    """
    text = next((row[at] for at in (columns["normalised"], columns["text"]) if at < len(row) and row[at].strip()), "")
    values: dict[str, str | None] = {"text": clean_text(text) or None, "speaker": None, "language": None}
    for name in ("speaker", "language"):
        if name in columns and columns[name] < len(row):
            values[name] = clean_text(row[columns[name]]) or None
    values["language"] = language_code(values["language"])
    return values


def columns_of(rows: list[list[str]]) -> Columns:
    """The columns of a list with bars, by the first rows: text, normalised text, speaker and language.

    A column of speakers or languages has one token in each row, while another column has several in most rows.
    """
    widths = Counter(len(row) for row in rows if len(row) > 1)
    width = max(widths, key=lambda cells: (widths[cells], cells), default=2)
    rows = [row for row in rows if len(row) == width]
    several = {at: sum(len(row[at].split()) > 1 for row in rows) for at in range(1, width)}
    if width < 3 or not several:
        return {"text": 1, "normalised": 1 if width < 3 else 2}
    text = max(several, key=lambda at: (several[at], -at))
    single = [at for at in several if at != text and several[at] == 0 and all(row[at].strip() for row in rows)]
    if several[text] * 2 < len(rows) or not single:
        return {"text": 1, "normalised": 2}
    languages = [at for at in single if all(_is_language(row[at]) for row in rows)]
    columns = {"text": text, "normalised": text}
    if len(single) > 1 and languages:
        columns["language"] = languages[-1]
        single.remove(languages[-1])
    columns["speaker"] = single[0]
    return columns


def _is_language(cell: str) -> bool:
    plain = cell.strip()
    return bool(re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?", plain)) and language_code(plain) is not None


def _head_lines(uri: str) -> list[str]:
    text = lines.head(uri, 1 << 16).decode("utf-8-sig", "replace")
    whole = text if len(text) < 1 << 15 else text.rpartition("\n")[0]
    return [line for line in whole.splitlines() if line.strip()][:_SAMPLE]


def bar_cells(head: FileHead) -> list[str] | None:
    """Cells of the first line of a list with bars and without a header; None for other files."""
    first = head.first_line
    if not 1 <= first.count("|") <= 5 or first.startswith(("{", "[", ";", "#")) or head.columns & head.audio_columns:
        return None
    return head.lines[0].split("|") if head.lines else None


def _is_ljspeech(head: FileHead) -> bool:
    row = bar_cells(head)
    return row is not None and not is_audio(row[0].strip()) and (head.named or head.names_audio(row[0]))


DIALECT = Dialect(
    name="ljspeech",
    summary="LJSpeech and Piper: metadata.csv with id|text, id|text|normalised text or id|speaker|text, audio in wavs/",
    read=read,
    file=_is_ljspeech,
    pattern=re.compile(r".+\.(csv|txt|lst)", re.IGNORECASE),
)
