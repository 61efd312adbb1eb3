"""Checks of `verify` for the datasets `clips` and `vectors`: ranges, pairing, and arrays against their input."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.vectors import ARRAYS, INDEX, open_array
from speechprep.pipelines.inspect.verify_rows import ROWS, RowChecks

TIME_SLACK = 1e-6  # seconds
SAME = ("n_words", "split", "corpus", "speaker")  # equal for a clip and its partner


def check_rows(checks: RowChecks, shard: Shard) -> None:
    """Ranges, times and texts of the clips of a shard."""
    columns = ["id", "n_words", "first_word", "last_word", "t0", "t1", "duration"]
    for batch in checks.dataset.batches(columns, shard.name, ROWS):
        n_words, first, last = (batch.column(name).to_numpy(zero_copy_only=False) for name in columns[1:4])
        t0, t1, duration = (batch.column(name).to_numpy(zero_copy_only=False) for name in columns[4:])
        checks.count(batch, (first < 0) | (last - first + 1 != n_words), "have another number of words than n_words")
        off = ~(np.abs(t1 - t0 - duration) <= TIME_SLACK)
        checks.count(batch, ~(t1 > t0) | (t0 < 0) | off, "have impossible times")
    _ranges(checks, shard)


def check_pairing(checks: RowChecks) -> Iterator[str]:
    """Splits of the recordings, and partners of all clips."""
    yield from _recordings(checks)
    yield from _partners(checks)


def _ranges(checks: RowChecks, shard: Shard) -> None:
    """Text and times are those of the words of the utterance; each range begins and ends at a timed word."""
    words = checks.input("words")
    if words is None or shard.name not in words.shard_set:
        return
    spoken = {
        row["id"]: row for batch in words.batches(["id", "words", "kept"], shard.name) for row in batch.to_pylist()
    }
    columns = ["id", "utterance", "first_word", "last_word", "t0", "t1", "text"]
    for batch in checks.dataset.batches(columns, shard.name, ROWS):
        bad = [not _is_of(row, spoken.get(row["utterance"])) for row in batch.to_pylist()]
        checks.count(batch, np.array(bad, bool), "have another text or other times than the words of their utterance")


def _is_of(clip: dict[str, Any], words: dict[str, Any] | None) -> bool:
    """True if a clip has the text and the times of its range in a row of `words`."""
    if words is None or words["kept"] is False:
        return False
    inside = (words["words"] or [])[clip["first_word"] : clip["last_word"] + 1]
    if len(inside) != clip["last_word"] - clip["first_word"] + 1:
        return False
    ends = (inside[0], inside[-1])
    same = clip["text"] == " ".join(word["text"] for word in inside)
    timed = all(word["timing"] != "interpolated" for word in ends)
    return same and timed and (clip["t0"], clip["t1"]) == (ends[0]["start"], ends[1]["end"])


def _recordings(checks: RowChecks) -> Iterator[str]:
    """No recording is in two splits."""
    splits: dict[str, str] = {}
    for batch in checks.dataset.batches(["recording", "split"]):
        for recording, split in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if splits.setdefault(recording, split) != split:
                yield f"the recording {recording[:12]} is in the splits {splits[recording]!r} and {split!r}"
                return


def _partners(checks: RowChecks) -> Iterator[str]:
    """The partners are a derangement of the paired clips, each with a partner by the rules of the stage."""
    columns = ["id", "utterance", "text", "t0", "t1", "partner", *SAME]
    table = checks.dataset.table(columns)
    paired = table.filter(pc.is_valid(table.column("partner")))
    rows = pc.index_in(paired.column("partner"), value_set=paired.column("id"))
    if rows.null_count or pc.count_distinct(rows).as_py() != len(paired):
        yield "the column partner is no derangement: a partner is absent, unpaired, or the partner of two clips"
        return
    partners = paired.take(rows)
    problems = {
        f"the same {name}": pc.equal(paired.column(name), partners.column(name)) for name in ("id", "utterance", "text")
    }
    for name in SAME:
        values = [part.column(name).cast(pa.string()).fill_null("") for part in (paired, partners)]
        problems[f"another {name}"] = pc.not_equal(*values)
    seconds = [_seconds(part) for part in (paired, partners)]
    widest = max(checks.folder.config["tolerances"])
    too_long = np.maximum(*seconds) > np.minimum(*seconds) * (1 + widest) + TIME_SLACK
    problems[f"a duration beyond {widest:g}"] = pa.array(too_long)
    for what, bad in problems.items():
        n = pc.sum(bad, min_count=0).as_py()
        if n:
            yield f"{n} clips have a partner with {what}"


def _seconds(table: pa.Table) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = table.column("t1").to_numpy() - table.column("t0").to_numpy()
    return seconds


def _remote(uri: str) -> io.BytesIO:
    return io.BytesIO(storage.read_bytes(uri))


def check_vectors(checks: RowChecks) -> Iterator[str]:
    """Each array has the rows of `pooled` in the order of the ids; the index has these ids."""
    pooled = checks.input("pooled")
    if pooled is None:
        return
    ids = pa.chunked_array([batch.column("id") for batch in pooled.batches(["id"])], pa.string()).combine_chunks()
    order = pc.array_sort_indices(ids)
    index = pq.read_table(_remote(storage.join(checks.dataset.uri, INDEX)))
    if not index.column("id").combine_chunks().equals(ids.take(order)):
        yield f"{INDEX} has other ids than pooled"
    if not np.array_equal(index.column("row").to_numpy(), np.arange(len(ids))):
        yield f"{INDEX} does not number the rows from 0"
    row_of = np.empty(len(ids), np.int64)
    row_of[order.to_numpy()] = np.arange(len(ids))
    for name in ARRAYS:
        where, first = storage.join(checks.dataset.uri, f"{name}.npy"), 0
        array = open_array(storage.local_path(where)) if storage.is_local(where) else np.load(_remote(where))
        for batch in pooled.batches([name]):
            values = batch.column(name).flatten().to_numpy(zero_copy_only=False).reshape(len(batch), -1)
            if not np.array_equal(array[row_of[first : first + len(batch)]], values.astype(array.dtype)):
                yield f"{name}.npy has other vectors than pooled"
                break
            first += len(batch)
