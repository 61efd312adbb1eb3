"""Marks of other datasets as reasons of `filter`: duplicates, and recordings of poor quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.errors import StaleArtifact


class Mark(NamedTuple):
    """Rows that one reason holds for.

    Attributes:
        option: of `filter`, and `limit` its value.
        ids: (n,) of the rows that it holds for.
        scored: (n,) ids of the rows that were judged; None: all rows.
    """

    option: str
    limit: float | str
    ids: pa.Array
    scored: pa.Array | None = None


Marked = Mapping[str, Mark]
"""Reason -> mark."""


def failures(marked: Marked, ids: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """For each reason, the rows that it holds for: (rows,) booleans.

    Args:
        marked: of a dataset.
        ids: (rows,) of `words`.
    """
    return {reason: _among(ids, mark.ids) for reason, mark in marked.items()}


def unscored(marked: Marked, ids: pa.Array) -> dict[str, int]:
    """For each reason, the number of rows that were not judged; they pass."""
    return {
        reason: 0 if mark.scored is None else int((~_among(ids, mark.scored)).sum()) for reason, mark in marked.items()
    }


def _among(ids: pa.Array, chosen: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pc.is_in(ids, value_set=chosen).to_numpy(zero_copy_only=False).astype(np.bool_)
    return mask


def beside(source: str, words: str, kind: str, command: str) -> str:
    """The dataset of a kind for a dataset of words: in the run folder, or in the folder of the words.

    Args:
        source: the run folder.
        words: the dataset of words.
        kind: of the dataset, and its usual name.
        command: that writes it.

    Raises:
        StaleArtifact: there is none, or it is not finished.
    """
    folder = words.rstrip("/").rpartition("/")[0] or "."
    for candidate in (storage.join(source, kind), storage.join(folder, kind)):
        recorded = manifest.find(candidate)
        if recorded is not None and recorded.kind == kind:
            return candidate
    raise StaleArtifact(
        f"{source}: no finished {kind} here; run: speechprep {command} --input {source} --out {source}/{kind}"
    )


def joined(parts: list[pa.Array]) -> pa.Array:
    """Ids of several batches in one array."""
    return pa.chunked_array(parts, pa.string()).combine_chunks()
