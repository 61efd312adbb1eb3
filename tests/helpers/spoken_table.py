"""The table of written tokens and their spoken forms, `tests/tokenizers/english/spoken_forms.tsv`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parents[1] / "tokenizers" / "english" / "spoken_forms.tsv"


class Row(NamedTuple):
    """A class of tokens, a text, and the spoken words of each of its tokens."""

    kind: str
    text: str
    words: list[list[str]]


def table() -> list[Row]:
    """All rows, without comments and the header."""
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = []
    for line in lines[1:]:
        kind, written, spoken = line.split("\t")
        words = [[] if form == "_" else form.split() for form in spoken.split(" | ")]
        rows.append(Row(kind, written.replace(" | ", " ").replace("\\u200b", "\u200b"), words))
    return rows
