"""Row checks of `verify`: conditions within a shard of each kind, and between a shard and its input shards.

Shards are streamed; of the folders beside, only the ids and lengths of the shard of the same name are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.artifacts import shards, storage
from speechprep.artifacts.datasets import find_kind
from speechprep.artifacts.manifest import Manifest, Shard
from speechprep.artifacts.timebase import FrameGrid, num_samples
from speechprep.errors import SpeechprepError
from speechprep.pipelines.engine.task import REJECT_FOLDER

ROWS = 4096
TIME_SLACK = 0.05  # seconds a word may end behind its audio: containers round their length
FRAME_SLACK = 1  # resampling rounds the number of samples


@dataclass(frozen=True)
class Neighbours:
    """The complete folders of a run, by name: where cross-references are followed."""

    place: str
    known: dict[str, Manifest]

    def input(self, made: Manifest, role: str) -> tuple[str, Manifest] | None:
        """The input folder of `made` for this role; None if it is not beside it."""
        wanted = made.made_of.get("inputs", {}).get(role)
        for name, found in self.known.items():
            if wanted is not None and found.fingerprint == wanted:
                return storage.join(self.place, name), found
        return None


class RowChecks:
    """Checks the shards of one folder, one after the other."""

    def __init__(self, folder: str, made: Manifest, around: Neighbours) -> None:
        self.folder, self.made, self.around = folder, made, around
        self.seen: list[pa.Array] = []
        self.tally: dict[str, tuple[int, str]] = {}  # problems of the present shard: number of rows, first id
        self.kind = find_kind(made.kind)
        self.check = self._row_check()

    def _row_check(self) -> Callable[[Shard], Iterator[str] | None] | None:
        """The check of this kind; a check of another package is called with this object and the shard."""
        name = self.kind.check or ""
        if ":" in name:
            module, _, function = name.partition(":")
            return partial(getattr(import_module(module), function), self)
        return getattr(self, f"check_{name}", None)

    def shard(self, shard: Shard) -> Iterator[str]:
        """Problems of a shard."""
        if self.kind.ids_from is not None:
            yield from self._refers(shard, self.kind.ids_from)
        elif self.kind.unique_ids:
            self.seen.append(self._ids(self.folder, shard.name))
        if self.check is not None:
            self.tally.clear()
            yield from (f"{shard.name}: {what}" for what in self.check(shard) or ())
            for what, (rows, first) in self.tally.items():
                yield f"{shard.name}: {rows} rows {what}, for example {first!r}"

    def _count(self, batch: pa.RecordBatch, bad: NDArray[np.bool_], what: str) -> None:
        if bad.any():
            rows, first = self.tally.get(what, (0, batch.column("id")[int(np.flatnonzero(bad)[0])].as_py()))
            self.tally[what] = (rows + int(bad.sum()), first)

    def whole(self) -> Iterator[str]:
        """Problems across the shards of the folder: an id in two rows, a codebook of other units."""
        if self.kind.unique_ids and self.seen:
            ids = pa.chunked_array(self.seen)
            if pc.count_distinct(ids).as_py() != len(ids):
                counts = ids.value_counts()
                twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
                yield f"{len(twice)} ids stand more than once, for example {twice[0].as_py()!r}"
        if self.kind.check == "codebook":
            yield from self._codebook()

    def _batches(self, shard: Shard, columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield from shards.read_batches(storage.join(self.folder, shard.name), columns, ROWS)

    def _ids(self, folder: str, name: str) -> pa.Array:
        parts = [b.column("id") for b in shards.read_batches(storage.join(folder, name), ["id"], 65536)]
        return pa.chunked_array(parts, pa.string()).combine_chunks()

    def _refers(self, shard: Shard, role: str) -> Iterator[str]:
        """Each id is one of the input's shard of the same name; for units, none is lost without a reject."""
        mine = self._ids(self.folder, shard.name)
        self.seen.append(mine)
        beside = self.around.input(self.made, role)
        if beside is None or shard.name not in {s.name for s in beside[1].shards}:
            return
        theirs = self._ids(beside[0], shard.name)
        unknown = mine.filter(pc.invert(pc.is_in(mine, value_set=theirs)))
        if len(unknown):
            yield f"{shard.name}: {len(unknown)} ids are not in {role}, for example {unknown[0].as_py()!r}"
        if self.kind.complete:
            known = mine
            if shard.rejects:
                known = pa.concat_arrays([mine, self._ids(storage.join(self.folder, REJECT_FOLDER), shard.name)])
            lost = theirs.filter(pc.invert(pc.is_in(theirs, value_set=known)))
            if len(lost):
                yield f"{shard.name}: {len(lost)} {role} are neither here nor rejected, for example {lost[0].as_py()!r}"

    def check_utterances(self, shard: Shard) -> None:
        """Durations and offsets are finite and not negative."""
        for batch in self._batches(shard, ["id", "duration", "offset", "audio"]):
            duration, offset = (_floats(batch.column(name)) for name in ("duration", "offset"))
            bad = ~(np.isfinite(duration) & (duration >= 0) & (np.nan_to_num(offset) >= 0))
            self._count(batch, bad, "have no usable duration or offset")

    def check_words(self, shard: Shard) -> None:
        """Word times lie in the utterance and do not go backwards; no word is empty."""
        for batch in self._batches(shard, ["id", "words", "duration"]):
            words, owner = _flat(batch.column("words"))
            start, end = (_floats(words.field(name)) for name in ("start", "end"))
            limit = _floats(batch.column("duration"))[owner] + TIME_SLACK
            bad = ~((start >= 0) & (start <= end) & ~(end > limit))
            self._count(batch, _rows_of(bad, owner, batch.num_rows), "have words with impossible times")
            empty = np.asarray(
                pc.fill_null(pc.equal(pc.utf8_trim_whitespace(words.field("text")), ""), fill_value=True)
            )
            self._count(batch, _rows_of(empty, owner, batch.num_rows), "have words without text")

    def check_units(self, shard: Shard) -> None:
        """Units lie below k, name the codebook of the manifest, and fit the number of frames."""
        k, codebook = self.made.extra.get("k"), self.made.extra.get("codebook")
        frames: list[tuple[str, int]] = []
        for batch in self._batches(shard, ["id", "units", "codebook"]):
            units, owner = _flat(batch.column("units"))
            if k is not None:
                bad = np.asarray(units).astype(np.int64) >= k
                self._count(batch, _rows_of(bad, owner, batch.num_rows), f"have units beyond {k}")
            if codebook is not None:
                other = np.asarray(pc.fill_null(pc.not_equal(batch.column("codebook"), codebook), fill_value=True))
                self._count(batch, other, f"name another codebook than {codebook[:8]}")
            counts = np.bincount(owner, minlength=batch.num_rows)
            frames += zip(batch.column("id").to_pylist(), counts.tolist(), strict=True)
        self._frames(shard, dict(frames))

    def _frames(self, shard: Shard, frames: dict[str, int]) -> None:
        """As many units as the codebook's frame grid has frames in the utterance."""
        beside = self.around.input(self.made, "utterances")
        if beside is None or "grid" not in self.made.extra or shard.name not in {s.name for s in beside[1].shards}:
            return
        grid = FrameGrid(**self.made.extra["grid"])
        uri = storage.join(beside[0], shard.name)
        for batch in shards.read_batches(uri, ["id", "duration"], ROWS):
            wanted = [
                grid.num_frames(num_samples(d, grid.sample_rate)) if d is not None else None
                for d in batch.column("duration").to_pylist()
            ]
            bad = np.array(
                [
                    id in frames and n is not None and abs(frames[id] - n) > FRAME_SLACK
                    for id, n in zip(batch.column("id").to_pylist(), wanted, strict=True)
                ],
                bool,
            )
            self._count(batch, bad, "have another number of units than their audio has frames")

    def check_tokens(self, shard: Shard) -> Iterator[str]:
        """Each row decodes to the words, units and times of its inputs."""
        from speechprep.pipelines.inspect.decode import verify_tokens

        inputs = {role: self.around.input(self.made, role) for role in ("words", "units", "subword")}
        folders = {role: found[0] for role, found in inputs.items() if found is not None}
        if "units" not in folders or "subword" not in folders:
            return
        try:
            yield from (
                what.removeprefix(f"{shard.name}: ") for what in verify_tokens(self.folder, shard.name, folders)
            )
        except SpeechprepError as error:
            yield str(error)

    def check_packed(self, shard: Shard) -> Iterator[str]:
        """Rows have the length of the context and token ids of the vocabulary."""
        context = self.made.made_of.get("config", {}).get("context")
        beside = self.around.input(self.made, "subword")
        size = beside[1].extra.get("size") if beside else None
        for batch in self._batches(shard, ["input_ids", "document_ids", "modality_ids"]):
            lengths = [np.asarray(pc.list_value_length(column)) for column in batch.columns]
            wrong = np.zeros(batch.num_rows, bool)
            for length in lengths:
                wrong |= length != (context if context is not None else lengths[0])
            if wrong.any():
                yield f"{wrong.sum()} rows are not {context} tokens long in each column"
            ids = np.asarray(batch.column("input_ids").flatten())
            if len(ids) and (ids.min() < 0 or (size is not None and ids.max() >= size)):
                yield f"token ids from {ids.min()} to {ids.max()}, the vocabulary has {size}"

    def check_embeddings(self, shard: Shard) -> None:
        """Vectors have unit length, or are zero."""
        for batch in self._batches(shard, ["id", "vector"]):
            vectors = np.asarray(batch.column("vector").flatten(), np.float64).reshape(batch.num_rows, -1)
            norms = np.linalg.norm(vectors, axis=1)
            self._count(
                batch, ~(np.isclose(norms, 1, atol=1e-3) | (norms == 0)), "have vectors that are not unit vectors"
            )

    def check_image_codes(self, shard: Shard) -> None:
        """Each image has all codes, each below the size of the codebook."""
        length, vocab = self.made.extra.get("length"), self.made.extra.get("vocab")
        for batch in self._batches(shard, ["id", "width", "height", "codes"]):
            codes, owner = _flat(batch.column("codes"))
            counts = np.bincount(owner, minlength=batch.num_rows)
            if length is not None:
                self._count(batch, counts != length, f"have not {length} codes")
            if vocab is not None:
                bad = np.asarray(codes).astype(np.int64) >= vocab
                self._count(batch, _rows_of(bad, owner, batch.num_rows), f"have codes beyond {vocab}")
            sides = np.stack([np.asarray(batch.column(name).fill_null(0)) for name in ("width", "height")])
            self._count(batch, np.asarray(sides.min(axis=0) < 1), "have no usable width or height")

    def _codebook(self) -> Iterator[str]:
        """Centroids and metadata agree, with each other and with the manifest."""
        if not storage.is_local(self.folder):
            return
        from speechprep.artifacts.codebook import Codebook

        try:
            found = Codebook.load(storage.local_path(self.folder))
        except SpeechprepError as error:
            yield str(error)
            return
        if found.fingerprint != self.made.extra.get("codebook"):
            yield "the codebook is not the one its manifest tells of; run cluster again"


def _floats(array: Any) -> NDArray[np.float64]:
    """Nulls become NaN."""
    return np.asarray(pc.fill_null(array, float("nan")), np.float64)


def _flat(lists: pa.ListArray) -> tuple[Any, NDArray[np.int64]]:
    """All members, and the row of each."""
    return lists.flatten(), np.asarray(pc.list_parent_indices(lists)).astype(np.int64)


def _rows_of(bad: NDArray[np.bool_], owner: NDArray[np.int64], rows: int) -> NDArray[np.bool_]:
    found = np.zeros(rows, bool)
    found[owner[bad]] = True
    return found
