"""Choice of the utterances in the report: the best aligned, a typical, and the worst kept one."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts.run import Dataset, Run
from speechprep.pipelines.report.facts import Speech
from speechprep.tokenizers.arrays.keyed_random import digest

NUMBER = 3


@dataclass(frozen=True)
class Chosen:
    """An utterance to draw.

    Attributes:
        why: a few words, the heading.
        because: a sentence for the reader.
        utterance, words, units: its rows; None where the run has none.
    """

    why: str
    because: str
    utterance: dict[str, Any]
    words: dict[str, Any] | None
    units: dict[str, Any] | None


def choose(run: Run, speech: Speech) -> list[Chosen]:
    """At most three utterances, the same ones whatever the number of shards."""
    utterances, words, units = run.get("utterances"), run.get("words"), run.get("units")
    if utterances is None:
        return []
    picked = _by_score(words, speech) if words and speech.scores["score"].count else []
    taken = {ident for *_, ident, _ in picked}
    if len(picked) < NUMBER:
        others = [each for each in _by_hash(words or utterances, NUMBER + len(picked)) if each[0] not in taken]
        lot = ("Drawn by lot", "Chosen by the hash of its id.")
        picked += [(*lot, ident, shard) for ident, shard in others[: NUMBER - len(picked)]]
    chosen = []
    for why, because, ident, shard in picked:
        row = utterances.find(ident, shard)
        if row is not None and row["duration"] is not None:  # text without audio has nothing to draw
            spoken = words.find(ident, shard) if words else None
            if spoken and not spoken["kept"]:
                because += f" It was not kept: {spoken['reason']}."
            chosen.append(Chosen(why, because, row, spoken, units.find(ident, shard) if units else None))
    return chosen


def _by_score(words: Dataset, speech: Speech) -> list[tuple[str, str, str, str]]:
    """(why, because, id, shard) of the best, the most typical and the worst kept utterance, each id once."""
    median = speech.scores["score"].quantile(0.5)
    # Three of each, because one utterance can be all of them in a small corpus.
    ranks: list[list[tuple[float, str, str]]] = [[], [], []]
    for shard in words.shards:
        for batch in words.batches(["id", "score", "kept"], shard):
            batch = batch.filter(pc.and_(batch.column("kept"), pc.is_finite(batch.column("score"))))
            score = batch.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
            for rank, key in zip(ranks, (-score, np.abs(score - median), score), strict=True):
                rank[:] = heapq.nsmallest(NUMBER, rank + _nearest(batch, key, shard))
    whys = (
        ("Best aligned", "The highest alignment score of the run: {:.3g}."),
        ("Typical", "The score nearest to the median: {:.3g}."),
        ("Worst kept", "The lowest score that was still kept: {:.3g}. Look here first when a filter is to be set."),
    )
    picked: dict[str, tuple[str, str, str, str]] = {}
    for place in (1, 0, 2):  # the typical one has the first claim on an utterance
        for _, ident, shard in ranks[place]:
            if ident not in {taken[2] for taken in picked.values()}:
                row = words.find(ident, shard) or {}
                why, because = whys[place]
                picked[why] = (why, because.format(row.get("score") or 0.0), ident, shard)
                break
    return [picked[why] for why, _ in whys if why in picked]


def _nearest(batch: pa.RecordBatch, key: np.ndarray[Any, Any], shard: str) -> list[tuple[float, str, str]]:
    """The rows of the smallest keys, ties included: ties are decided by the id."""
    if not len(key):
        return []
    limit = np.partition(key, min(NUMBER, len(key)) - 1)[min(NUMBER, len(key)) - 1]
    return [(float(key[row]), batch.column("id")[int(row)].as_py(), shard) for row in np.flatnonzero(key <= limit)]


def _by_hash(folder: Dataset, number: int) -> list[tuple[str, str]]:
    """(id, shard) of the ids with the smallest hashes."""
    least: list[tuple[bytes, str, str]] = []
    for shard in folder.shards:
        for batch in folder.batches(["id"], shard):
            hashes = ((digest(i), i, shard) for i in batch.column("id").to_pylist())
            least = heapq.nsmallest(number, [*least, *hashes])
    return [(ident, shard) for _, ident, shard in least]
