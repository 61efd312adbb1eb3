"""Unique ids: a derived id that another record also has is replaced by the place of its record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.errors import BadInput
from speechprep.pipelines.sources.entry import check_id, storable
from speechprep.pipelines.sources.files import root_of

Rows = NDArray[np.int64]
_DIGEST = 16  # bytes of the digest of an entry


def folder_of(uri: str) -> str:
    """The folder of an input: of a file its folder, of a glob pattern the part without wildcards."""
    return uri.rstrip("/") if storable(uri) and storage.exists(uri) and storage.is_dir(uri) else root_of(uri)


def common_folder(uris: Iterable[str]) -> str:
    """The deepest folder around all inputs; empty without one."""
    paths = [folder_of(uri).split("/") for uri in uris]
    common: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common)


def below(place: str, root: str) -> str:
    """A place relative to a folder; the whole path if it is elsewhere."""
    root = root.rstrip("/")
    if root and place.startswith(root + "/"):
        return place[len(root) + 1 :]
    return place.rpartition("://")[2].lstrip("/")


def doubled_rows(ids: pa.ChunkedArray, claimed: pa.Array) -> Rows:
    """Sorted numbers of the rows with an id of another row or of `claimed`."""
    by_id = pc.sort_indices(ids).to_numpy()
    in_order = ids.take(pa.array(by_id))
    same = np.zeros(len(ids) + 1, bool)
    if len(ids) > 1:
        same[1:-1] = pc.equal(in_order[1:], in_order[:-1]).to_numpy()
    doubled = same[:-1] | same[1:] | pc.is_in(in_order, value_set=claimed).to_numpy()
    return np.asarray(by_id[doubled], np.int64)


def derived_ids(rows: Rows, places: pa.ChunkedArray, root: str) -> dict[int, str]:
    """New ids of those rows with a derived id: their places relative to `root`."""
    renamed: dict[int, str] = {}
    for row, place in zip(rows.tolist(), places.to_pylist(), strict=True):
        if place is not None:
            try:
                renamed[row] = check_id(below(place, root))
            except BadInput:
                continue  # the id stays, and its record is a duplicate
    return renamed


def with_ids(ids: pa.ChunkedArray, rows: Rows, renamed: dict[int, str]) -> pa.ChunkedArray:
    """The ids of rows, with the new ones."""
    mask = np.isin(rows, np.fromiter(renamed, np.int64, len(renamed)))
    if not mask.any():
        return ids
    values = pa.array([renamed[row] for row in rows[mask].tolist()], pa.string())
    return pa.chunked_array([pc.replace_with_mask(ids.combine_chunks(), pa.array(mask), values)])


def renew_digests(digests: bytearray, renamed: dict[int, str]) -> None:
    """Digests of the renamed entries: they depend on the new ids."""
    for row, id in renamed.items():
        at = slice(row * _DIGEST, (row + 1) * _DIGEST)
        digests[at] = hashlib.blake2b(bytes(digests[at]) + id.encode(), digest_size=_DIGEST).digest()
