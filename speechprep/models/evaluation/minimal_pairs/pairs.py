"""Readers of minimal pairs: files of BLiMP (arXiv 1912.00582) and of the BabyLM challenge, filtered or not.

A file holds JSON Lines with `sentence_good` and `sentence_bad`. BLiMP names the paradigm (`UID`), the phenomenon
(`linguistics_term`) and the field. The supplement of BabyLM has none of these: its paradigm is the file name.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from speechprep.artifacts import storage
from speechprep.errors import BadInput, ConfigError
from speechprep.tokenizers.arrays.keyed_random import record_keys, unit_interval

GOOD, BAD = "sentence_good", "sentence_bad"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")


@dataclass(frozen=True)
class MinimalPair:
    """One pair.

    Attributes:
        id: "<paradigm>/<pairID or line>".
        paradigm: `UID`, else the file name without suffix.
        phenomenon: `linguistics_term`, else the paradigm.
        field: `field` of BLiMP, else "supplement".
        good, bad: the acceptable and the unacceptable sentence.
    """

    id: str
    paradigm: str
    phenomenon: str
    field: str
    good: str
    bad: str


def read_pairs(path: str, fraction: float = 1.0) -> tuple[list[MinimalPair], list[str]]:
    """The pairs of a file or folder, in the order of file names and lines; and the files without pairs.

    A folder is read without its sub-folders. If it has no file of `SUFFIXES`, its sub-folders are read. A file in which
    no row has one of the two columns is not a benchmark file; it is left out and named.

    Args:
        path: file or folder.
        fraction: fixed part of the pairs, by a hash of the id.

    Raises:
        ConfigError: no such file, no file with pairs, or one paradigm in two files.
        BadInput: `missing_column`: a file with only one of the columns; `bad_row`: a damaged row or file.
    """
    pairs: dict[str, list[MinimalPair]] = {}
    skipped: list[str] = []
    origin: dict[str, str] = {}
    for file in _files(path):
        found = list(_of_file(file))
        if not found:
            skipped.append(file)
        for pair in found:
            if origin.setdefault(pair.paradigm, file) != file:
                raise ConfigError(f"paradigm {pair.paradigm!r} is in {origin[pair.paradigm]} and {file}; keep one file")
            pairs.setdefault(pair.paradigm, []).append(pair)
    if not pairs:
        raise ConfigError(f"{path} has no minimal pairs; name a folder with {', '.join(SUFFIXES)} files of BLiMP")
    rows = [pair for group in pairs.values() for pair in group]
    if fraction < 1:
        chosen = unit_interval(record_keys(0, "minimal_pairs", [pair.id for pair in rows])) < fraction
        rows = [pair for pair, kept in zip(rows, chosen, strict=True) if kept]
    if not rows:
        raise ConfigError(f"fraction = {fraction} leaves no pair of {path}; raise it")
    return rows, skipped


def _files(path: str) -> list[str]:
    if not storage.exists(path):
        raise ConfigError(f"--data {path}: no such file or folder; correct the path")
    if not storage.is_dir(path):
        return [path]
    folders = [path]
    files = _listed(folders)
    if not files:
        files = _listed([storage.join(path, name) for name in sorted(storage.folders(path))])
    return files


def _listed(folders: list[str]) -> list[str]:
    names = [(folder, name) for folder in folders for name in sorted(storage.sizes(folder))]
    return [storage.join(folder, name) for folder, name in names if name.endswith(SUFFIXES) and "/" not in name]


def _of_file(path: str) -> Iterator[MinimalPair]:
    stem = path.rpartition("/")[2].partition(".")[0]
    rows = list(_rows(path))
    for number, row in rows:
        absent = [name for name in (GOOD, BAD) if name not in row]
        if len(absent) == 2 and not any(GOOD in other or BAD in other for _, other in rows):
            return
        if absent:
            raise BadInput("missing_column", f"{path}:{number} has no column {absent[0]!r}; it has {', '.join(row)}")
        good, bad = row[GOOD], row[BAD]
        if not (isinstance(good, str) and isinstance(bad, str) and good.strip() and bad.strip()):
            raise BadInput("bad_row", f"{path}:{number}: {GOOD} {good!r}, {BAD} {bad!r}; write two sentences")
        paradigm = str(row.get("UID") or stem)
        yield MinimalPair(
            f"{paradigm}/{row.get('pairID', number)}",
            paradigm,
            str(row.get("linguistics_term") or paradigm),
            str(row.get("field") or "supplement"),
            good,
            bad,
        )


def _rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        content = storage.read_bytes(path)
        text = (gzip.decompress(content) if path.endswith(".gz") else content).decode("utf-8-sig")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise BadInput("bad_row", f"{path}: {error}; restore the file") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput("bad_row", f"{path}:{number}: not JSON ({error}); write one object in each line") from error
        if not isinstance(row, dict):
            raise BadInput("bad_row", f"{path}:{number}: not a JSON object; write one object in each line")
        yield number, row
