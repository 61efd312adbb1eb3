"""Lists of transcripts: one file with the texts of many recordings, named by them.

The forms are `ID TEXT` as in `text` of Kaldi, `ID:TEXT` as in JSUT, columns with tabs or bars, with or without a
header, as in MLS, VoxPopuli and FLEURS, `TEXT (ID)` as in NIST's `.trn`, `( ID "TEXT" )` as in Festival, and a JSON
object with the names of recordings as keys. An id is the name of an audio file of the input, with or without its folder
and suffix.

Other lists name recordings too: ids of a subset, speakers, durations, addresses. A list without words is no list of
transcripts, and neither is a list of one name for each recording, if the name of the file says nothing of transcripts.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from speechprep.pipelines.sources.entry import ALIASES
from speechprep.pipelines.sources.trees.audio_names import is_audio
from speechprep.tokenizers.text.scripts import is_unspaced

_NAMES = re.compile(
    r".*\.(txt|text|trn|trans|data|lst|tsv|csv|json)|text|(.*[-_.])?(transcripts?|transcriptions?|prompts)([-_.].*)?",
    re.IGNORECASE | re.DOTALL,
)
_RANKS = tuple(  # of names of lists; of several lists about a recording those of the lowest rank count
    re.compile(rf"(.*[-_.])?({words})([-_.].*)?", re.IGNORECASE | re.DOTALL)
    for words in ("transcripts?|transcriptions?|txt\\.done", "text|texts|sentences?|trans|trn|line_index", "prompts?")
)
_FESTIVAL = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)')
_TRN = re.compile(r"(.*?)\s*\((\S+)\)")
_NO_WORD = re.compile(r"\w+://\S+|[-+]?\d[\d.,:eE+-]*")  # an address or a number
_SIGN = 20  # first rows, half of which must name audio files

IsRecording = Callable[[str], bool]


class Listed(NamedTuple):
    """A row of a list: the name of a recording, its text, and other columns of a list with a header."""

    id: str
    text: str
    facts: dict[str, Any] = {}  # noqa: RUF012 - never changed


def is_list_name(name: str) -> bool:
    """True for names of files that may be a list of transcripts."""
    return _NAMES.fullmatch(name) is not None


def rank(name: str) -> int:
    """0 for a name that says most clearly that the list holds transcripts; `len(_RANKS)` if it says nothing."""
    return next((i for i, pattern in enumerate(_RANKS) if pattern.fullmatch(name)), len(_RANKS))


def stem_of(id: str) -> str:
    """Name of a recording from an id with or without folders and suffix."""
    return posixpath.basename(without_suffix(id))


def without_suffix(id: str) -> str:
    """An id without the suffix of an audio file."""
    return posixpath.splitext(id)[0] if is_audio(id) else id


def read(name: str, lines: Iterator[str], is_recording: IsRecording) -> list[Listed]:
    """Rows of a list of transcripts; none of any other file.

    Args:
        name: of the file.
        lines: its lines without blank ones and outer white space.
        is_recording: function from an id to whether the input has this recording.
    """
    rows = _of_json(lines) if name.lower().endswith(".json") else _of_lines(lines, is_recording)
    first = list(islice(rows, _SIGN))
    named = sum(is_recording(row.id) for row in first)  # some audio may be missing
    if 2 * named < len(first) or not named or not _has_texts(name, first):
        return []
    return [*first, *rows]


def _has_texts(name: str, rows: Sequence[Listed]) -> bool:
    texts = [row.text for row in rows if row.text]
    if rank(name) < len(_RANKS):
        return any("://" not in text for text in texts)
    return 2 * sum(map(_is_wordy, texts)) >= len(texts) > 0


def _is_wordy(text: str) -> bool:
    """True for several tokens or an unspaced script, with more than addresses and numbers."""
    tokens = text.split()
    return (len(tokens) > 1 or is_unspaced(text)) and not all(map(_NO_WORD.fullmatch, tokens))


def _of_json(lines: Iterator[str]) -> Iterator[Listed]:
    try:
        body = json.loads("\n".join(lines))
    except (ValueError, RecursionError):
        return
    for id, value in body.items() if isinstance(body, dict) else ():
        facts = {str(key).lower(): cell for key, cell in value.items()} if isinstance(value, dict) else {}
        text = value if isinstance(value, str) else facts.get(_text_column(list(facts)) or "")
        if not isinstance(text, str):
            return
        yield Listed(id, text.strip(), facts)


def _of_lines(lines: Iterator[str], is_recording: IsRecording) -> Iterator[Listed]:
    head = list(islice(lines, _SIGN + 1))
    every = chain(head, lines)
    for mark in ("\t", "|"):
        cells = [[cell.strip() for cell in line.split(mark)] for line in head]
        width = min(map(len, cells), default=0)
        if width < 2:
            continue
        column = max(range(width), key=lambda i: sum(is_recording(row[i]) for row in cells))
        if not any(is_recording(row[column]) for row in cells):
            continue
        names = [name.lower() for name in cells[0]]
        header = names if _text_column(names) and not any(map(is_recording, cells[0])) else []
        rows = ([cell.strip() for cell in line.split(mark)] for line in every)
        return _of_columns(islice(rows, bool(header), None), column, header)
    return filter(None, (_split(line, is_recording) for line in every))


def _of_columns(rows: Iterator[list[str]], column: int, header: list[str]) -> Iterator[Listed]:
    """Rows of cells; without a header, the text is in the column after the id."""
    name = _text_column(header)
    at = column + 1 if name is None else header.index(name)
    for cells in rows:
        facts = {key: cell for key, cell in zip(header, cells, strict=False) if cell}
        yield Listed(cells[column] if column < len(cells) else "", cells[at] if at < len(cells) else "", facts)


def _text_column(names: Sequence[str]) -> str | None:
    """The column with the text: the first usual name, else a name that ends in one, as `raw_text`."""
    usual = (*ALIASES["text"], "transcript_text", "sentences")
    ending = [name for name in names if re.fullmatch(r".*[_ ](text|sentence|transcript|transcription)", name)]
    return next((name for name in usual if name in names), ending[0] if ending else None)


def _split(line: str, is_recording: IsRecording) -> Listed | None:
    if match := _FESTIVAL.fullmatch(line):
        return Listed(match[1], match[2].replace('\\"', '"'))
    if (match := _TRN.fullmatch(line)) and is_recording(match[2]):
        return Listed(match[2], match[1])
    for mark in (None, ":"):
        id, *rest = line.split(mark, 1)
        if rest and is_recording(id.strip()):
            return Listed(id.strip(), rest[0].strip())
    id, *rest = line.split(None, 1)
    return Listed(id, rest[0] if rest else "")
