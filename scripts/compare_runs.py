"""Comparison of two run folders: rows, schemas, Parquet footers, manifests and artifact files.

python scripts/compare_runs.py A B                      # exit code 1 if they differ, 2 if there is nothing to compare
python scripts/compare_runs.py A B --strict             # fingerprints and checksums must be equal too
python scripts/compare_runs.py A B --path /old=/new     # read the path prefix /old in A as /new
python scripts/compare_runs.py A B --ignore _rejects.message --json

Both folders must hold the same files at any depth. The kind of file decides the comparison:

    Parquet          Every column of every row, floats bit by bit. The Arrow schema with its metadata.
                     The footer: row groups, types, compression, encodings, statistics flags, key-value metadata.
    JSON             Values and types, independent of the layout of the text.
    NumPy arrays     Data type, shape and bytes.
    run.json         Stages, rows, rejects and counters, without times.
    other files      Bytes (SentencePiece models, FAISS indexes).

Never compared: package versions (`created_by`, `versions`), README.md, report.html, run.log, `_state` and `_work`.
Each fingerprint is replaced by its role, for example `<fingerprint of units>`, also in columns and JSON values. The two
runs may have different fingerprints, but must use them in the same places. The body of a fingerprint (`made_of` in a
manifest) is compared too, and a difference there is a note.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from run_values import (
    ABSENT,
    HASHES,
    bits,
    fingerprints,
    first_byte,
    first_element,
    footer,
    has_text,
    json_differences,
    present_name,
    run_facts,
    schema_fields,
)

UNFINISHED = {"_state", "_work"}
TEXTS = {"README.md", "report.html", "run.log"}
VERSIONS = ("versions", "format", "digest")
SHARD_HASHES = ("key", "sha256", "size")


@dataclass(frozen=True)
class Difference:
    """First difference in one column, footer field, JSON value or file.

    Attributes:
        folder: dataset folder, relative to the run folder; `file` in it.
        row: row of the shard, counted from 0; None outside rows.
        column: column, footer field or JSON path.
        left, right: the values in A and B.
        rows: number of rows of the shard that differ in this column.
    """

    folder: str
    file: str
    row: int | None
    column: str
    left: str
    right: str
    rows: int = 0

    def __str__(self) -> str:
        where = f"{self.folder}/{self.file}" + ("" if self.row is None else f" row {self.row}")
        more = f"  ({self.rows} rows differ)" if self.rows > 1 else ""
        return f"{where} {self.column}: {self.left} | {self.right}{more}"


@dataclass
class Result:
    """Differences between two runs, and counts of what was compared. Notes concern fingerprints alone."""

    differences: list[Difference] = field(default_factory=list)
    notes: list[Difference] = field(default_factory=list)
    folders: int = 0
    shards: int = 0
    rows: int = 0
    values: int = 0
    artifacts: int = 0

    @property
    def equal(self) -> bool:
        """True without differences; notes do not count."""
        return not self.differences


class Run:
    """A run folder: its files, and the strings to replace before a comparison."""

    def __init__(self, root: Path, paths: dict[str, str], *, strict: bool) -> None:
        self.root = root
        self.files = {present_name(p.relative_to(root)): p for p in sorted(root.rglob("*")) if p.is_file()}
        self.files = {name: p for name, p in self.files.items() if not (UNFINISHED | TEXTS) & set(Path(name).parts)}
        replacements = {} if strict else fingerprints(self.files)
        replacements |= {str(root.resolve()): "<run>", **paths}
        self._replacements = replacements
        longest_first = sorted(replacements, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def normalise(self, value: Any) -> Any:
        """The value with fingerprints and path prefixes replaced in every string, at any depth."""
        if isinstance(value, str):
            return self._pattern.sub(lambda match: self._replacements[match[0]], value)
        if isinstance(value, dict):
            return {self.normalise(key): self.normalise(item) for key, item in value.items()}
        return [self.normalise(item) for item in value] if isinstance(value, list) else value


def compare_runs(
    left: Path,
    right: Path,
    *,
    paths: dict[str, str] | None = None,
    ignore: set[str] | None = None,
    strict: bool = False,
) -> Result:
    """Compare all files of two run folders.

    Args:
        left, right: the run folders.
        paths: path prefix in `left` -> prefix in `right`.
        ignore: columns to leave out, as FOLDER.COLUMN; FOLDER is the last part of the folder's path.
        strict: compare fingerprints, checksums and `made_of` as well.

    Raises:
        FileNotFoundError: `left` holds no manifest and no Parquet file.
    """
    runs = Run(left, paths or {}, strict=strict), Run(right, {}, strict=strict)
    if not any(Path(name).name == "_manifest.json" or name.endswith(".parquet") for name in runs[0].files):
        raise FileNotFoundError(f"{left} holds no dataset; name a run folder")
    result = Result()
    comparison = _Comparison(runs, result, ignore or set(), strict=strict)
    for name in sorted(runs[0].files.keys() | runs[1].files.keys()):
        if all(name in run.files for run in runs):
            comparison.file(name)
        else:
            a, b = ("present" if name in run.files else ABSENT for run in runs)
            result.differences.append(Difference(*_place(name), None, "file", a, b))
    result.folders = len({_place(name)[0] for name in runs[0].files if "/" in name and "/_rejects/" not in name})
    return result


def _place(name: str) -> tuple[str, str]:
    return Path(name).parent.as_posix(), Path(name).name


class _Comparison:
    """Comparison of two files of the same name, added to a result."""

    def __init__(self, runs: tuple[Run, Run], result: Result, ignore: set[str], *, strict: bool) -> None:
        self.runs, self.result, self.ignore, self.strict = runs, result, ignore, strict

    def file(self, name: str) -> None:
        """Compare by the kind of file."""
        left, right = (run.files[name] for run in self.runs)
        suffix = left.suffix
        if suffix == ".parquet":
            self.parquet(name, left, right)
            return
        self.result.artifacts += 1
        if suffix == ".json":
            self.json(name, left, right)
        elif suffix == ".npy":
            a, b = (np.load(path, allow_pickle=False) for path in (left, right))
            if (a.dtype, a.shape) != (b.dtype, b.shape):
                self.add(name, "dtype and shape", f"{a.dtype} {a.shape}", f"{b.dtype} {b.shape}")
            elif a.tobytes() != b.tobytes():
                self.add(name, *first_element(a, b))
        elif left.read_bytes() != right.read_bytes():
            self.add(name, *first_byte(left.read_bytes(), right.read_bytes()))

    def add(self, name: str, column: str, left: Any, right: Any, row: int | None = None, rows: int = 0) -> None:
        """One more difference."""
        self.result.differences.append(Difference(*_place(name), row, column, short(left), short(right), rows))

    def parquet(self, name: str, left: Path, right: Path) -> None:
        """Footer, schema and rows of a shard."""
        with pq.ParquetFile(left) as a, pq.ParquetFile(right) as b:
            footers = [run.normalise(footer(file)) for run, file in zip(self.runs, (a, b), strict=True)]
            for at, x, y in json_differences(footers[0], footers[1], "footer"):
                self.add(name, at, x, y)
            schemas = a.schema_arrow, b.schema_arrow
            tables = a.read(), b.read()
        self.result.shards += 1
        self.result.rows += tables[0].num_rows
        if not schemas[0].equals(schemas[1], check_metadata=True):
            for at, x, y in json_differences(schema_fields(schemas[0]), schema_fields(schemas[1]), "schema"):
                self.add(name, at, x, y)
        if tables[0].num_rows != tables[1].num_rows:
            self.add(name, "number of rows", tables[0].num_rows, tables[1].num_rows)
        for column in schemas[0].names:
            folder = Path(name).parent.name
            if f"{folder}.{column}" not in self.ignore and schemas[1].get_field_index(column) >= 0:
                self.column(name, column, *(table.column(column) for table in tables))

    def column(self, name: str, column: str, left: pa.ChunkedArray, right: pa.ChunkedArray) -> None:
        """Every row of a column; rows beyond the end of the shorter shard are counted elsewhere."""
        if left.type != right.type:
            return  # reported with the schema
        rows = min(len(left), len(right))
        self.result.values += rows
        a, b = bits(left.slice(0, rows)), bits(right.slice(0, rows))
        if a.equals(b):
            return
        differing = [i for i in range(rows) if not a[i].equals(b[i])]
        if has_text(left.type):
            normal = self.runs[0].normalise, self.runs[1].normalise
            differing = [i for i in differing if normal[0](a[i].as_py()) != normal[1](b[i].as_py())]
        if differing:
            first = differing[0]
            self.add(name, f"column {column!r}", left[first].as_py(), right[first].as_py(), first, len(differing))

    def json(self, name: str, left: Path, right: Path) -> None:
        """Values of a JSON file; a manifest and run.json without times, versions and checksums."""
        bodies = [json.loads(path.read_text(encoding="utf-8")) for path in (left, right)]
        if Path(name).name == "run.json":
            bodies = [run_facts(body) for body in bodies]
        if Path(name).name in ("_manifest.json", "codebook.json"):
            bodies = [self.without_hashes(body) for body in bodies]
        a, b = (run.normalise(body) for run, body in zip(self.runs, bodies, strict=True))
        for at, x, y in json_differences(a, b):
            if at.startswith("made_of") and Path(name).name == "_manifest.json" and not self.strict:
                self.result.notes.append(Difference(*_place(name), None, at, short(x), short(y)))
            else:
                self.add(name, at, x, y)

    def without_hashes(self, body: dict[str, Any]) -> dict[str, Any]:
        """A manifest or codebook without versions and, unless strict, without its hashes."""
        body = {key: value for key, value in body.items() if key not in VERSIONS}
        if self.strict:
            return body
        body = {key: value for key, value in body.items() if key not in HASHES}
        if isinstance(body.get("shards"), list):
            shards = [{k: v for k, v in s.items() if k not in SHARD_HASHES} for s in body["shards"]]
            body["shards"] = [{**s, "rejects": bool(s.get("rejects"))} for s in shards]
        return body


def short(value: Any, length: int = 160) -> str:
    """A value as text of limited length."""
    text = str(value) if isinstance(value, str) and value == ABSENT else repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("left", metavar="A", type=Path)
    parser.add_argument("right", metavar="B", type=Path)
    parser.add_argument("--path", action="append", default=[], metavar="OLD=NEW", help="path prefix in A, and in B")
    parser.add_argument("--ignore", action="append", default=[], metavar="FOLDER.COLUMN", help="column to leave out")
    parser.add_argument("--strict", action="store_true", help="fingerprints and checksums must be equal too")
    parser.add_argument("--limit", type=int, default=20, help="number of differences to print (default 20)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(arguments)
    paths = dict(pair.partition("=")[::2] for pair in args.path)
    try:
        result = compare_runs(args.left, args.right, paths=paths, ignore=set(args.ignore), strict=args.strict)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps({"equal": result.equal, **asdict(result)}, indent=1, ensure_ascii=False))
    else:
        print_text(result, args.limit)
    return 0 if result.equal else 1


def print_text(result: Result, limit: int) -> None:
    """Differences, notes and counts, one a line."""
    for difference in result.differences[:limit]:
        print(difference)
    if len(result.differences) > limit:
        print(f"... {len(result.differences) - limit} more")
    for note in result.notes[:limit]:
        print(f"note: {note}")
    counts = f"{result.folders} folders, {result.shards} Parquet files, {result.rows} rows, {result.values} values"
    verdict = "equal" if result.equal else f"{len(result.differences)} differences"
    print(f"{verdict}: {counts}, {result.artifacts} artifact files; {len(result.notes)} notes on fingerprints")


if __name__ == "__main__":
    sys.exit(main())
