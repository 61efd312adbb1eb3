"""Partners of clips for the stage `clips`: the unmatched pairing over all shards, and its counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.tokenizers.arrays.keyed_random import record_keys
from speechprep.tokenizers.clips.pairing import UNPAIRED, derangement, smallest_tolerance


class Pairing:
    """What the pairing compares, for each clip in the order of the shards: about 40 bytes and the id.

    Args:
        seed: of the run; it orders clips of equal duration.
        tolerances: see `Config`.
    """

    def __init__(self, seed: int, tolerances: list[float]) -> None:
        self._seed, self._tolerances = seed, tolerances
        self._groups: dict[tuple[Any, ...], int] = {}
        self._utterances = 0
        self._columns: list[tuple[NDArray[Any], ...]] = []
        self._ids: list[pa.Array] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Clips of some utterances. The clips of an utterance are adjacent and in one batch."""
        names = [batch.column(name).to_pylist() for name in ("n_words", "split", "corpus", "speaker")]
        groups = [self._groups.setdefault(group, len(self._groups)) for group in zip(*names, strict=True)]
        texts = (" ".join(text.casefold().split()) for text in batch.column("text").to_pylist())
        utterances = self._utterances + batch.column("utterance").dictionary_encode().indices.to_numpy()
        self._utterances = int(utterances[-1]) + 1
        self._ids.append(batch.column("id"))
        self._columns.append(
            (
                batch.column("duration").to_numpy(),
                np.array(groups, np.int64),
                utterances.astype(np.int64),
                record_keys(0, "clips.text", texts),
                record_keys(self._seed, "clips.order", batch.column("id").to_pylist()),
            )
        )

    def partners(self) -> tuple[pa.ChunkedArray, pa.Array]:
        """(clips,) ids of the partners and tolerances, null for clips without a partner."""
        if not self._columns:
            return pa.chunked_array([], pa.string()), pa.array([], pa.float32())
        seconds, groups, utterances, texts, keys = (np.concatenate(part) for part in zip(*self._columns, strict=True))
        partner = derangement(seconds, groups, utterances, texts, keys, self._tolerances)
        tolerance = smallest_tolerance(seconds, partner, self._tolerances)
        unpaired = partner == UNPAIRED
        ids = pa.chunked_array(self._ids, pa.string()).take(pa.array(partner, mask=unpaired))
        return ids, pa.array(tolerance.astype(np.float32), mask=unpaired)


def pairing_counts(batches: Iterable[pa.RecordBatch]) -> dict[str, dict[str, Any]]:
    """For each N: number of clips, of clips with and without a partner, and of partners by tolerance.

    Args:
        batches: rows of `clips` with the columns n_words and tolerance.
    """
    clips: Counter[int] = Counter()
    within: dict[int, Counter[str]] = {}
    for batch in batches:
        for n_words, tolerance in zip(*(batch.column(c).to_pylist() for c in ("n_words", "tolerance")), strict=True):
            clips[n_words] += 1
            if tolerance is not None:
                within.setdefault(n_words, Counter())[f"{tolerance:.6g}"] += 1
    counts = {}
    for n_words, n in sorted(clips.items()):
        by_tolerance = within.get(n_words, Counter())
        paired = by_tolerance.total()
        by_width = dict(sorted(by_tolerance.items(), key=lambda entry: float(entry[0])))
        counts[str(n_words)] = {"clips": n, "paired": paired, "unpaired": n - paired, "within": by_width}
    return counts
