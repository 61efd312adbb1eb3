"""Listing of the inputs: entries with unique ids, sorted and dealt to shards, and their reading in a shard.

The result does not depend on the order of the inputs. Entries are sorted by id; entries in archives by archive and
position, so that shards read archives front to back. Records with a common id are all rejected. Entries are
stored on disk; memory holds their ids and 16 bytes for each.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.engine.stage import ShardPlan
from speechprep.pipelines.sources.entry import ENTRIES, Entry, Record, Rejected
from speechprep.pipelines.sources.files import stamps
from speechprep.pipelines.sources.inventory import Inventory
from speechprep.pipelines.sources.trees.tree import MARK
from speechprep.pipelines.sources.unique_ids import (
    Rows,
    common_folder,
    derived_ids,
    doubled_rows,
    renew_digests,
    with_ids,
)

if TYPE_CHECKING:
    from speechprep.pipelines.engine.context import ShardContext

_BLOCK = 8192  # entries in a batch on disk
_READ = 256  # entries of a shard read together
_GATHER = 4 * _BLOCK  # entries put in order together
_DIGEST = 16  # bytes
_SPILL = "entries.arrow"


@dataclass
class _EntryIndex:
    """Ids, sort keys and digests of all entries, in the order of the inputs; kept in memory."""

    ids: list[pa.Array] = field(default_factory=list)
    orders: list[pa.Array] = field(default_factory=list)
    digests: bytearray = field(default_factory=bytearray)
    rejects: list[Rejected] = field(default_factory=list)


def shard_count(entries: int) -> int:
    """Default number of shards: up to 16 for small inputs, then one for every 512 entries."""
    return max(min(16, -(-entries // 8)), -(-entries // 512), 1)


def plan(
    inputs: list[str],
    records: Callable[[str], Iterable[Record]],
    shards: int | None,
    scratch: Path,
    *,
    forms: str,
    thing: str,
    remedy: str = "",
    inventory: Inventory | None = None,
) -> ShardPlan:
    """The records of all inputs, dealt to shards; see `deal`.

    Args:
        inputs: URIs.
        records: function from a URI to the records of this input.
        shards, scratch: see `deal`.
        forms: possible inputs, for the message.
        thing: name of a record, for the message.
        remedy: end of the message for inputs without a record.
        inventory: receives the audio files; its counts become facts of the plan.

    Raises:
        ConfigError: no input, or not a single record in them.
    """
    if not inputs:
        raise ConfigError(f"no input; give {forms} with --input")
    planned = deal(chain.from_iterable(map(records, inputs)), shards, scratch, inventory, common_folder(inputs))
    if not planned.rejects and not any(pq.read_metadata(path).num_rows for path in planned.payloads):
        raise ConfigError(f"no {thing} in {', '.join(inputs)}; give another input{remedy}")
    if inventory is None:
        return planned
    inventory.finish(inputs)
    return replace(planned, facts=inventory.facts())


def with_defaults(records: Iterable[Record], stated: dict[str, str | None]) -> Iterator[Record]:
    """The same records, with values for their empty fields."""
    for record in records:
        if isinstance(record, Entry):
            for name, value in stated.items():
                setattr(record, name, getattr(record, name) or value)
        yield record


def dealt(ctx: ShardContext) -> Iterator[dict[str, Any]]:
    """The entries of a shard, in order; entries with a crash of their worker process are rejected."""
    with pq.ParquetFile(ctx.payload) as file:
        for batch in file.iter_batches(batch_size=_READ):
            for entry in batch.to_pylist():
                crash = ctx.crash_error(entry["id"])
                if crash is None:
                    yield entry
                else:
                    ctx.reject(entry["id"], crash, entry["audio"])


def deal(
    records: Iterable[Record], shards: int | None, scratch: Path, inventory: Inventory | None = None, root: str = ""
) -> ShardPlan:
    """Write one listing of entries for each shard into `scratch`.

    Args:
        records: entries and rejects in any order.
        shards: number of shards; None: `shard_count`.
        scratch: an existing local folder.
        inventory: receives the audio files.
        root: folder around all inputs; ids that are places are relative to it.

    Returns:
        The plan: listings (Parquet, schema ENTRIES), a key for each, and all rejects, `duplicate_id` among them.
    """
    spill = scratch / _SPILL
    try:
        index = _spill(records, spill, inventory)
        with pa.memory_map(str(spill)) as source:
            reader = pa.ipc.open_file(source)
            kept, renamed = _resolve(index, reader, root)
            n = shards or shard_count(len(kept))
            bounds = [i * len(kept) // n for i in range(n + 1)]
            payloads = [scratch / f"entries-{i:05d}-of-{n:05d}.parquet" for i in range(n)]
            keys = [_key(index.digests, kept[bounds[i] : bounds[i + 1]]) for i in range(n)]
            together = max(_GATHER * n // max(len(kept), 1), 1)  # shards: gathering one by one would touch all blocks
            for first in range(0, n, together):
                start, stop = bounds[first], bounds[min(first + together, n)]
                table = _gather(reader, kept[start:stop], renamed)
                for i in range(first, min(first + together, n)):
                    pq.write_table(table.slice(bounds[i] - start, bounds[i + 1] - bounds[i]), payloads[i])
    finally:
        spill.unlink(missing_ok=True)
    rejects = sorted(index.rejects, key=lambda r: (r.id, r.error.code, str(r.error)))
    counts = [stop - start for start, stop in pairwise(bounds)]
    return ShardPlan(payloads, keys, [(r.id, r.error, r.audio) for r in rejects], counts)


def _spill(records: Iterable[Record], path: Path, inventory: Inventory | None) -> _EntryIndex:
    """All entries to disk in the order of the inputs; the sort keys stay in memory."""
    index = _EntryIndex()
    stream = iter(records)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, ENTRIES) as writer:
        while block := list(islice(_entries(stream, index.rejects), _BLOCK)):
            columns = [pa.array([getattr(e, f.name) for e in block], f.type) for f in ENTRIES]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=ENTRIES))
            index.ids.append(columns[0])
            index.orders.append(pa.array([e.order for e in block], pa.string()))
            uris = list(dict.fromkeys(e.audio for e in block))
            stamp = dict(zip(uris, stamps(uris), strict=True))
            _report_audio(block, stamp, inventory)
            index.digests += b"".join(e.digest(stamp[e.audio]) for e in block)
    return index


def _report_audio(block: list[Entry], stamp: dict[str, str], inventory: Inventory | None) -> None:
    """Report the audio files of a block that are there; members of archives are reported by their dialect."""
    if inventory is not None:
        for uri in dict.fromkeys(e.audio for e in block if e.archive is None):
            if stamp[uri]:
                inventory.use(uri, "audio")
        for entry in block:
            if entry.archive in ("tar", "zip"):
                inventory.use(f"{entry.audio}{MARK}{entry.member}", "audio")


def _entries(stream: Iterator[Record], rejects: list[Rejected]) -> Iterator[Entry]:
    for record in stream:
        if isinstance(record, Entry):
            yield record
        else:
            rejects.append(record)


def _resolve(index: _EntryIndex, reader: pa.RecordBatchFileReader, root: str) -> tuple[Rows, dict[int, str]]:
    """Row numbers of the kept entries, in their final order, and new ids by row; the others become rejects."""
    ids = pa.chunked_array(index.ids, pa.string())
    claimed = pa.array(sorted({r.id for r in index.rejects if r.claims}), pa.string())
    doubled = doubled_rows(ids, claimed)
    renamed = derived_ids(doubled, _gather(reader, doubled, {})["place"], root) if len(doubled) else {}
    if renamed:
        ids = with_ids(ids, np.arange(len(ids)), renamed)
        renew_digests(index.digests, renamed)
        doubled = doubled_rows(ids, claimed)
    index.rejects += _refuse(_gather(reader, doubled, renamed), index.rejects)
    good = np.setdiff1d(np.arange(len(ids)), doubled, assume_unique=True)
    order = pa.table({"order": pa.chunked_array(index.orders, pa.string()), "id": ids}).take(pa.array(good))
    by_order = pc.sort_indices(order, [("order", "ascending"), ("id", "ascending")])
    return np.asarray(good[by_order.to_numpy()], np.int64), renamed


def _refuse(doubled: pa.Table, rejects: list[Rejected]) -> list[Rejected]:
    """Rejects for all records with a common id, because the intended record is unknown."""
    places: dict[str, list[str]] = {}
    for reject in rejects:
        if reject.claims:
            places.setdefault(reject.id, []).append("a rejected record")
    rows = doubled.select(["id", "where", "audio"]).to_pylist()
    names = Counter((row["id"], row["where"]) for row in rows)
    for row in rows:
        if names[row["id"], row["where"]] > 1:  # files of one name in several folders
            row["where"] = f"{row['where']} ({row['audio']})"
        places.setdefault(row["id"], []).append(row["where"])
    return [Rejected(row["id"], _doubled(row["id"], row["where"], places[row["id"]]), row["audio"]) for row in rows]


def _doubled(id: str, where: str, places: list[str]) -> BadInput:
    others = sorted(places)
    others.remove(where)
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return BadInput(
        "duplicate_id", f"{where}: the id {id!r} is also the id of {others[0]}{more}; give each record a unique id"
    )


def _gather(reader: pa.RecordBatchFileReader, rows: Rows, renamed: dict[int, str]) -> pa.Table:
    """Rows of the entries on disk, in the order given, with their new ids."""
    blocks, place = np.divmod(rows, _BLOCK)
    grouped = np.argsort(blocks, kind="stable")
    batches = [
        reader.get_batch(int(block)).take(pa.array(place[grouped][blocks[grouped] == block]))
        for block in np.unique(blocks)
    ]
    table = pa.Table.from_batches(batches, schema=ENTRIES)
    table = table.take(pa.array(np.argsort(grouped, kind="stable"))) if len(rows) else table
    if not renamed:
        return table
    return table.set_column(0, ENTRIES.field(0), with_ids(table["id"], rows, renamed))


def _key(digests: bytearray, rows: Rows) -> str:
    digest = hashlib.sha256()
    for row in rows.tolist():
        digest.update(digests[row * _DIGEST : (row + 1) * _DIGEST])
    return digest.hexdigest()
