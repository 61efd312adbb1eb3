"""External sort of JSON records in constant memory: sorted runs in temporary files, then one merge."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

RUN_RECORDS = 20_000  # of one sorted run; no result depends on it

Key = tuple[Any, ...]


def sort_records(
    records: Iterable[tuple[Key, dict[str, Any]]], folder: Path, run_records: int = RUN_RECORDS
) -> Iterator[dict[str, Any]]:
    """The records in the order of their keys.

    Args:
        records: (key, JSON record); no key occurs twice.
        folder: existing local folder for the temporary files.
        run_records: records of one sorted run, kept in memory.
    """
    held: list[tuple[Key, str]] = []
    paths: list[Path] = []
    for key, record in records:
        held.append((key, json.dumps([key, record])))
        if len(held) >= run_records:
            paths.append(_spill(held, folder / f"run-{len(paths):06d}.jsonl"))
            held = []
    held.sort()
    runs: list[Iterable[tuple[Key, str]]] = [held, *map(_lines, paths)]
    for _, line in heapq.merge(*runs):
        yield json.loads(line)[1]


def _spill(held: list[tuple[Key, str]], path: Path) -> Path:
    held.sort()
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for _, line in held)
    return path


def _lines(path: Path) -> Iterator[tuple[Key, str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield tuple(json.loads(line)[0]), line
