"""Search of duplicates in one column of `fingerprints`: exact groups, candidates by keys, comparison of candidates.

Keys, pairs and values go through files. A file of keys holds some of all keys, and a file of pairs some of all pairs,
so that each fits into memory. The result does not depend on the number of files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.duplicates.pairs import Pairs, Ranks, bucket_pairs, equal_pairs, group_roots

ROWS_IN_A_FILE = 1 << 15  # rows of fingerprints for each file of keys
FILES = 256  # at most
KEY = np.dtype([("key", "<u8"), ("rank", "<i8"), ("place", "<i4")])
PAIR = np.dtype([("low", "<i8"), ("high", "<i8"), ("offset", "<i8")])

Similarity = Callable[[NDArray[Any], NDArray[Any], int], float]


class Column(NamedTuple):
    """Names of the columns of `fingerprints` for one search.

    Attributes:
        digest: equal for exact duplicates; null for rows without a value.
        values: list of integers, compared between candidates.
        keys: list of hashes; candidates share one.
        places: list with the place of each key in the values; None: places do not matter.
        dtype: of the values.
    """

    digest: str
    values: str
    keys: str
    places: str | None
    dtype: np.dtype[Any]

    @property
    def names(self) -> list[str]:
        """The columns to read."""
        return [name for name in (self.digest, self.values, self.keys, self.places) if name is not None]


class Groups(NamedTuple):
    """Groups of duplicates.

    Attributes:
        members: (n,) ranks of all rows with a duplicate, ascending.
        roots: (n,) smallest rank of the group.
        similarity: (n,) largest similarity to another member.
    """

    members: Ranks
    roots: Ranks
    similarity: NDArray[np.float32]

    def of(self, ranks: Ranks) -> tuple[Ranks, NDArray[np.float32]]:
        """(rows,) roots, -1 without duplicates, and similarities, of rows with these ranks."""
        if not len(self.members):
            return np.full(len(ranks), -1, np.int64), np.zeros(len(ranks), np.float32)
        at = np.minimum(np.searchsorted(self.members, ranks), len(self.members) - 1)
        found = self.members[at] == ranks
        return np.where(found, self.roots[at], -1), np.where(found, self.similarity[at], np.float32(0))


class DuplicateSearch:
    """Rows of one column on local files: `add` all rows, then read digests, pairs and values.

    Args:
        folder: local folder, made here.
        column: names of the columns.
        rows: number of rows of the corpus.
    """

    def __init__(self, folder: Path, column: Column, rows: int) -> None:
        folder.mkdir()
        self._folder, self._column, self._rows = folder, column, rows
        self.files = min(max(1, -(-rows // ROWS_IN_A_FILE)), FILES)
        self._stack = ExitStack()
        self._values = self._open("values")
        self._keys = [self._open(f"keys-{i}") for i in range(self.files)]
        self._starts, self._lengths = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self._written = 0
        self._digests: list[tuple[NDArray[np.void], Ranks]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        for path in self._folder.iterdir():
            path.unlink()

    def _open(self, name: str) -> IO[bytes]:
        return self._stack.enter_context((self._folder / name).open("w+b"))

    def add(self, batch: pa.RecordBatch, ranks: Ranks, taking_part: NDArray[np.bool_]) -> None:
        """Add rows; those without a digest, and those not taking part, have no duplicates."""
        has = np.asarray(pc.is_valid(batch.column(self._column.digest))) & taking_part
        batch, ranks = batch.filter(pa.array(has)), ranks[has]
        if not len(batch):
            return
        digests = b"".join(batch.column(self._column.digest).to_pylist())
        self._digests.append((np.frombuffer(digests, "V16"), ranks))
        values, offsets = ragged.of_arrow(batch.column(self._column.values))
        self._starts[ranks], self._lengths[ranks] = self._written + offsets[:-1], np.diff(offsets)
        self._values.write(np.ascontiguousarray(values).tobytes())
        self._written += int(offsets[-1])
        keys, offsets = ragged.of_arrow(batch.column(self._column.keys))
        rows = np.zeros(len(keys), KEY)
        rows["key"], rows["rank"] = np.asarray(keys), np.repeat(ranks, np.diff(offsets))
        if self._column.places is not None:
            rows["place"] = np.asarray(ragged.of_arrow(batch.column(self._column.places))[0])
        file = rows["key"] % np.uint64(self.files)
        for i in np.unique(file).tolist():
            self._keys[i].write(rows[file == i].tobytes())

    def equal(self) -> tuple[Ranks, Ranks]:
        """Ranks of exact copies, and the smallest rank of each; see `equal_pairs`."""
        if not self._digests:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        digests, ranks = (np.concatenate(part) for part in zip(*self._digests, strict=True))
        return equal_pairs(digests, ranks)

    def candidates(self, number: int, copies: NDArray[np.bool_]) -> Pairs:
        """Candidate pairs of one file of keys, without exact copies.

        Args:
            number: of the file.
            copies: (rows of the corpus,) True for ranks of exact copies.
        """
        self._keys[number].flush()
        rows = np.fromfile(self._folder / f"keys-{number}", KEY)
        rows = rows[~copies[rows["rank"]]]
        return bucket_pairs(rows["key"], rows["rank"], rows["place"].astype(np.int64))

    def values(self) -> Callable[[int], NDArray[Any]]:
        """Function from a rank to the values of its row."""
        self._values.flush()
        if not self._written:
            return lambda rank: np.zeros(0, self._column.dtype)
        stored = np.memmap(self._folder / "values", self._column.dtype, "r")
        return lambda rank: stored[self._starts[rank] : self._starts[rank] + self._lengths[rank]]

    def pair_files(self) -> list[IO[bytes]]:
        """Empty files for pairs, one for each range of the smaller rank."""
        return [self._open(f"pairs-{i}") for i in range(self.files)]

    def file_of(self, low: Ranks) -> NDArray[np.int64]:
        """(n,) number of the file of pairs."""
        return low * self.files // max(self._rows, 1)

    def read_pairs(self, number: int, file: IO[bytes]) -> Pairs:
        """The pairs of a file, each once."""
        file.flush()
        rows = np.fromfile(self._folder / f"pairs-{number}", PAIR)
        return Pairs(rows["low"], rows["high"], rows["offset"]).unique()

    @property
    def rows(self) -> int:
        """Number of rows of the corpus."""
        return self._rows


def find_groups(search: DuplicateSearch, similarity: Similarity) -> Groups:
    """Groups of duplicates of all added rows.

    Args:
        search: with all rows.
        similarity: of the values of two rows at an offset; 0 if they are no duplicates.
    """
    copies, originals = search.equal()
    is_copy = np.zeros(search.rows, np.bool_)
    is_copy[copies] = True
    files = search.pair_files()
    for number in range(search.files):
        pairs = search.candidates(number, is_copy)
        owner = search.file_of(pairs.low)
        for i in np.unique(owner).tolist():
            rows = np.zeros(int((owner == i).sum()), PAIR)
            for name, values in zip(("low", "high", "offset"), pairs, strict=True):
                rows[name] = values[owner == i]
            files[i].write(rows.tobytes())
    values_of = search.values()
    parts = [(copies, originals, np.ones(len(copies)))]
    for number, file in enumerate(files):
        pairs = search.read_pairs(number, file)
        likeness = np.array(
            [
                similarity(values_of(low), values_of(high), offset)
                for low, high, offset in zip(*(side.tolist() for side in pairs), strict=True)
            ]
        )
        accepted = np.flatnonzero(likeness > 0)
        parts.append((pairs.low[accepted], pairs.high[accepted], likeness[accepted]))
    low, high, likeness = (np.concatenate(side) for side in zip(*parts, strict=True))
    if not len(low):
        return Groups(low, low, np.zeros(0, np.float32))
    members, roots = group_roots(low, high)
    best = np.zeros(len(members))
    for side in (low, high):
        np.maximum.at(best, np.searchsorted(members, side), likeness)
    return Groups(members, roots, best.astype(np.float32))
