"""Marks of duplicates: rows that repeat the audio or the text of another row, by the dataset `duplicates`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from speechprep.pipelines.marks import Mark, joined

Which = Literal["off", "audio", "text", "any"]

REASONS = {"duplicate_audio": "audio_duplicate_of", "duplicate_text": "text_duplicate_of"}
"""Reason -> column of `duplicates`."""
_OF = {"off": (), "audio": ("duplicate_audio",), "text": ("duplicate_text",), "any": tuple(REASONS)}


def read(batches: Iterable[pa.RecordBatch], which: Which) -> dict[str, Mark]:
    """The marked ids in rows of `duplicates`."""
    ids: dict[str, list[pa.Array]] = {reason: [] for reason in _OF[which]}
    for batch in batches:
        for reason, parts in ids.items():
            parts.append(batch.column("id").filter(pc.is_valid(batch.column(REASONS[reason]))))
    return {reason: Mark("duplicates", which, joined(parts)) for reason, parts in ids.items()}
