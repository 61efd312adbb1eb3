"""Marks of duplicates as reasons of `filter`: rows of `words` with a mark in the dataset `duplicates` are not kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import open_dataset
from speechprep.errors import StaleArtifact

Which = Literal["off", "audio", "text", "any"]
Marked = dict[str, pa.Array]
"""Reason -> ids of the marked rows."""

REASONS = {"duplicate_audio": "audio_duplicate_of", "duplicate_text": "text_duplicate_of"}
"""Reason -> column of `duplicates`."""
_OF = {"off": (), "audio": ("duplicate_audio",), "text": ("duplicate_text",), "any": tuple(REASONS)}


def read(batches: Iterable[pa.RecordBatch], which: Which) -> Marked:
    """The marked ids in rows of `duplicates`."""
    ids: dict[str, list[pa.Array]] = {reason: [] for reason in _OF[which]}
    for batch in batches:
        for reason, parts in ids.items():
            parts.append(batch.column("id").filter(pc.is_valid(batch.column(REASONS[reason]))))
    return {reason: pa.chunked_array(parts, pa.string()).combine_chunks() for reason, parts in ids.items()}


def failures(marked: Marked, ids: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """For each reason, the rows that it holds for: (rows,) booleans.

    Args:
        marked: see `read`.
        ids: (rows,) of `words`.
    """
    return {
        reason: pc.is_in(ids, value_set=among).to_numpy(zero_copy_only=False).astype(np.bool_)
        for reason, among in marked.items()
    }


def duplicates_folder(source: str, words: str) -> str:
    """The `duplicates` dataset of a run: in the run folder, or beside the dataset of words.

    Raises:
        StaleArtifact: there is none, or it is not finished.
    """
    beside = words.rstrip("/").rpartition("/")[0] or "."
    for folder in (storage.join(source, "duplicates"), storage.join(beside, "duplicates")):
        recorded = manifest.find(folder)
        if recorded is not None and recorded.kind == "duplicates":
            return folder
    raise StaleArtifact(
        f"{source}: no finished duplicates here; run: speechprep dedup --input {source} --out {source}/duplicates"
    )


def read_folder(folder: str, which: Which) -> Marked:
    """The marked ids of a `duplicates` dataset."""
    return read(open_dataset(folder).batches(rows=1 << 16), which)
