"""Speech by speaker and by corpus: seconds, and the part that was kept."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts.run import Dataset

COLUMNS = ("corpus", "speaker")
_MICROSECONDS = 1_000_000  # whole numbers: their sum does not depend on the order of the rows


@dataclass
class Amount:
    """Speech of one group in microseconds: all of it, and the kept part."""

    whole: int = 0
    part: int = 0

    @property
    def seconds(self) -> float:
        """All of it, in seconds."""
        return self.whole / _MICROSECONDS

    @property
    def kept(self) -> float:
        """The kept part, in seconds."""
        return self.part / _MICROSECONDS


Groups = dict[str | None, Amount]


def by_group(utterances: Dataset, words: Dataset | None) -> dict[str, Groups]:
    """Column -> value (None: not stated) -> amount. Memory holds the groups, and the ids of one shard."""
    schema = utterances.schema
    columns = [column for column in COLUMNS if schema is not None and column in schema.names]
    groups: dict[str, Groups] = {column: {} for column in columns}
    elsewhere: list[pa.Array] = []
    for shard in words.shards if words else []:
        kept = _kept(words, shard) if words else _ids([])
        if shard in utterances.shard_set:
            seen = _add(groups, utterances, columns, kept, shard, total=True)
            kept = kept.filter(pc.invert(pc.is_in(kept, seen)))
        elsewhere.append(kept)
    read = words.shard_set if words else frozenset()
    for shard in utterances.shards:
        if shard not in read:
            _add(groups, utterances, columns, _ids([]), shard, total=True)
    rest = pa.concat_arrays([_ids([]), *elsewhere])
    if len(rest):  # shards of other names, for example of joined folders
        for shard in utterances.shards:
            _add(groups, utterances, columns, rest, shard, total=False)
    return groups


def _ids(values: list[str]) -> pa.Array:
    return pa.array(values, pa.string())


def _kept(words: Dataset, shard: str) -> pa.Array:
    parts = [
        batch.column("id").filter(pc.fill_null(batch.column("kept"), fill_value=False))
        for batch in words.batches(["id", "kept"], shard)
    ]
    return pa.concat_arrays([_ids([]), *parts])


def _add(
    groups: dict[str, Groups], utterances: Dataset, columns: list[str], kept: pa.Array, shard: str, *, total: bool
) -> pa.Array:
    """Add the utterances of a shard; returns their ids. `total` false: only the kept part."""
    seen = [_ids([])]
    for batch in utterances.batches(["id", "duration", *columns], shard):
        seen.append(batch.column("id"))
        length = batch.column("duration").cast(pa.float64())
        length = pc.if_else(pc.fill_null(pc.is_finite(length), fill_value=False), length, 0.0)
        whole = pc.round(pc.multiply(length, float(_MICROSECONDS))).cast(pa.int64())
        part = pc.if_else(pc.is_in(batch.column("id"), kept), whole, 0)
        for column in columns:
            table = pa.table({"name": batch.column(column), "whole": whole, "part": part})
            sums = table.group_by("name", use_threads=False).aggregate([("whole", "sum"), ("part", "sum")])
            for row in sums.to_pylist():
                amount = groups[column].setdefault(row["name"], Amount())
                amount.whole += row["whole_sum"] if total else 0
                amount.part += row["part_sum"]
    return pa.concat_arrays(seen)


def ranked(groups: Groups, most: int) -> tuple[list[tuple[str, Amount]], Amount]:
    """The `most` groups with the most speech, largest first, as (name, amount), and the sum of all the others."""
    order = sorted(groups.items(), key=lambda entry: (-entry[1].whole, entry[0] is None, entry[0] or ""))
    others = [amount for _, amount in order[most:]]
    rest = Amount(sum(amount.whole for amount in others), sum(amount.part for amount in others))
    return [(name or "not stated", amount) for name, amount in order[:most]], rest
