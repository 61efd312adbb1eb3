"""Tables of labels with times, for example phones: CSV, TSV or Parquet with id, start, end (seconds) and label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from speechprep.artifacts import storage
from speechprep.errors import ConfigError

F64 = NDArray[np.float64]
Labelled = tuple[str, F64, F64, list[str]]
"""Id of an utterance, starts and ends of its labels in seconds (starts rise), and the labels."""


def read_labels(uri: str) -> Iterator[Labelled]:
    """The labels of each utterance of a table, in the order of the ids; the whole table is read into memory.

    An empty label is "".

    Raises:
        ConfigError: it cannot be read, lacks a column, or has a row without a finite time.
    """
    try:
        with storage.open(uri) as file:
            if uri.endswith(".parquet"):
                table = pq.read_table(pa.PythonFile(file))
            else:
                options = csv.ParseOptions(delimiter="\t" if uri.endswith(".tsv") else ",")
                text = csv.ConvertOptions(column_types={"id": pa.string(), "label": pa.string()})
                table = csv.read_csv(pa.PythonFile(file), parse_options=options, convert_options=text)
        columns = table.select(["id", "start", "end", "label"]).to_pydict()
        ids, starts, ends = (
            np.array(columns["id"], str),
            np.array(columns["start"], float),
            np.array(columns["end"], float),
        )
        if not (np.isfinite(starts).all() and np.isfinite(ends).all()):
            row = int(np.flatnonzero(~np.isfinite(starts + ends))[0])
            raise ValueError(f"row {row + 1}, id {ids[row]!r}: start = {starts[row]}, end = {ends[row]}")
    except (OSError, pa.ArrowInvalid, KeyError, ValueError, TypeError) as error:
        raise ConfigError(
            f"labels = {uri!r} is not a table of id, start, end, label ({error}); correct the table"
        ) from None
    order = np.lexsort((starts, ids))
    for rows in np.split(order, np.flatnonzero(np.diff(np.unique(ids[order], return_inverse=True)[1])) + 1):
        if len(rows):
            yield str(ids[rows[0]]), starts[rows], ends[rows], [columns["label"][i] or "" for i in rows]


def rows_at(seconds: F64, starts: F64, ends: F64) -> NDArray[np.int64]:
    """(n,) number of the label at each time; -1 outside all labels.

    Args:
        seconds: (n,) times.
        starts, ends: (m,) of the labels; starts rise. Of two labels at one time, the later one counts.
    """
    at = np.searchsorted(starts, seconds, side="right") - 1
    inside = (at >= 0) & (seconds < np.append(ends, 0.0)[at])
    return np.where(inside, at, -1)
