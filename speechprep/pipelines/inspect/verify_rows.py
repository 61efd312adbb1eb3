"""Row checks of `verify`: conditions within a shard of each kind, and between a shard and its input shards.

Shards are streamed; of an input, only the ids and lengths of the shard of the same name are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.artifacts.datasets import find_kind
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.run import Dataset
from speechprep.artifacts.timebase import FrameGrid, num_samples
from speechprep.errors import SpeechprepError
from speechprep.pipelines.inspect.folders import CheckedFolder

ROWS = 4096
ID_ROWS = 65536
TIME_SLACK = 0.05  # seconds a word may end behind its audio: containers round their length
FRAME_SLACK = 1  # resampling rounds the number of samples


class RowChecks:
    """Checks the shards of one folder, one after the other."""

    def __init__(self, folder: CheckedFolder) -> None:
        self.folder, self.dataset, self.manifest = folder, folder.dataset, folder.manifest
        self.ids: list[pa.Array] = []
        self.tally: dict[str, tuple[int, str]] = {}  # problems of the present shard: number of rows, first id
        self.kind = find_kind(self.manifest.kind)
        self.check = self._row_check()

    def _row_check(self) -> Callable[[Shard], Iterator[str] | None] | None:
        """The check of this kind; a check of another package is called with this object and the shard."""
        name = self.kind.check or ""
        if ":" in name:
            return partial(_function(name), self)
        return getattr(self, f"check_{name}", None)

    def shard(self, shard: Shard) -> Iterator[str]:
        """Problems of a shard."""
        named = self.kind.ids_from or ()
        recorded = self.manifest.made_of.get("inputs", {})
        roles = (named,) if isinstance(named, str) else [role for role in named if role in recorded]
        if roles:
            yield from self._refers(shard, roles[0])
        elif self.kind.unique_ids:
            self.ids.append(_ids(self.dataset.batches(["id"], shard.name, ID_ROWS)))
        if self.check is not None:
            self.tally.clear()
            yield from (f"{shard.name}: {what}" for what in self.check(shard) or ())
            for what, (rows, first) in self.tally.items():
                yield f"{shard.name}: {rows} rows {what}, for example {first!r}"

    def count(self, batch: pa.RecordBatch, bad: NDArray[np.bool_], what: str) -> None:
        """Count the bad rows of a batch (rows,); `what` completes the sentence "N rows ..."."""
        if bad.any():
            rows, first = self.tally.get(what, (0, batch.column("id")[int(np.flatnonzero(bad)[0])].as_py()))
            self.tally[what] = (rows + int(bad.sum()), first)

    def whole(self) -> Iterator[str]:
        """Problems across the files of the folder: an id in two rows, and those of the check of this kind."""
        if self.kind.unique_ids and self.ids:
            ids = pa.chunked_array(self.ids)
            if pc.count_distinct(ids).as_py() != len(ids):
                counts = ids.value_counts()
                twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
                yield f"{len(twice)} ids stand more than once, for example {twice[0].as_py()!r}"
        if self.kind.check_folder is not None:
            yield from _function(self.kind.check_folder)(self)

    def input(self, role: str) -> Dataset | None:
        """The input folder for a role; None if it is not beside the folder."""
        return self.folder.around.input(self.manifest, role)

    def _batches(self, shard: Shard, columns: list[str]) -> Iterator[pa.RecordBatch]:
        return self.dataset.batches(columns, shard.name, ROWS)

    def _refers(self, shard: Shard, role: str) -> Iterator[str]:
        """Each id is one of the input's shard of the same name; for units, none is lost without a reject."""
        ids = _ids(self.dataset.batches(["id"], shard.name, ID_ROWS))
        self.ids.append(ids)
        source = self.input(role)
        if source is None or shard.name not in source.shard_set:
            return
        source_ids = _ids(source.batches(["id"], shard.name, ID_ROWS))
        unknown = ids.filter(pc.invert(pc.is_in(ids, value_set=source_ids)))
        if len(unknown):
            yield f"{shard.name}: {len(unknown)} ids are not in {role}, for example {unknown[0].as_py()!r}"
        if self.kind.complete:
            if shard.rejects:
                rejects = self.dataset.rejects(["id"], self.folder.rejects_name(shard))
                ids = pa.concat_arrays([ids, _ids(rejects)])
            lost = source_ids.filter(pc.invert(pc.is_in(source_ids, value_set=ids)))
            if len(lost):
                yield f"{shard.name}: {len(lost)} {role} are neither here nor rejected, for example {lost[0].as_py()!r}"

    def check_utterances(self, shard: Shard) -> None:
        """Durations and offsets are finite and not negative; a row without audio has none, and a text."""
        for batch in self._batches(shard, ["id", "duration", "offset", "audio", "sample_rate", "text"]):
            duration, offset = (_floats(batch.column(name)) for name in ("duration", "offset"))
            bad = ~(np.isfinite(duration) & (duration >= 0) & (np.nan_to_num(offset) >= 0))
            columns = [batch.column(name).is_valid() for name in ("audio", "duration", "sample_rate")]
            without_audio = ~np.logical_or.reduce([np.asarray(column) for column in columns])
            bad &= ~(without_audio & np.asarray(batch.column("text").is_valid()))
            self.count(batch, bad, "have no usable duration or offset")

    def check_words(self, shard: Shard) -> None:
        """Word times lie in the utterance and do not go backwards; no word is empty."""
        for batch in self._batches(shard, ["id", "words", "duration"]):
            words, owner = _flat(batch.column("words"))
            start, end = (_floats(words.field(name)) for name in ("start", "end"))
            limit = _floats(batch.column("duration"))[owner] + TIME_SLACK
            bad = ~((start >= 0) & (start <= end) & ~(end > limit))
            self.count(batch, _rows_of(bad, owner, batch.num_rows), "have words with impossible times")
            empty = np.asarray(
                pc.fill_null(pc.equal(pc.utf8_trim_whitespace(words.field("text")), ""), fill_value=True)
            )
            self.count(batch, _rows_of(empty, owner, batch.num_rows), "have words without text")

    def check_units(self, shard: Shard) -> None:
        """Units lie below k, name the codebook of the manifest, and fit the number of frames."""
        k, codebook = self.manifest.extra.get("k"), self.manifest.extra.get("codebook")
        frames: list[tuple[str, int]] = []
        for batch in self._batches(shard, ["id", "units", "codebook"]):
            units, owner = _flat(batch.column("units"))
            if k is not None:
                bad = np.asarray(units).astype(np.int64) >= k
                self.count(batch, _rows_of(bad, owner, batch.num_rows), f"have units beyond {k}")
            if codebook is not None:
                other = np.asarray(pc.fill_null(pc.not_equal(batch.column("codebook"), codebook), fill_value=True))
                self.count(batch, other, f"name another codebook than {codebook[:8]}")
            counts = np.bincount(owner, minlength=batch.num_rows)
            frames += zip(batch.column("id").to_pylist(), counts.tolist(), strict=True)
        self._frames(shard, dict(frames))

    def _frames(self, shard: Shard, frames: dict[str, int]) -> None:
        """As many units as the codebook's frame grid has frames in the utterance."""
        utterances = self.input("utterances")
        if utterances is None or "grid" not in self.manifest.extra or shard.name not in utterances.shard_set:
            return
        grid = FrameGrid(**self.manifest.extra["grid"])
        for batch in utterances.batches(["id", "duration"], shard.name, ROWS):
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
            self.count(batch, bad, "have another number of units than their audio has frames")

    def check_tokens(self, shard: Shard) -> Iterator[str]:
        """Each row decodes to the words, units and times of its inputs."""
        from speechprep.pipelines.inspect.decode import verify_tokens

        inputs = {role: self.input(role) for role in ("words", "units", "utterances", "subword")}
        datasets = {role: dataset for role, dataset in inputs.items() if dataset is not None}
        if not {"units", "utterances"} & datasets.keys() or "subword" not in datasets:
            return
        try:
            yield from verify_tokens(self.dataset, shard.name, datasets)
        except SpeechprepError as error:
            yield str(error)

    def check_packed(self, shard: Shard) -> Iterator[str]:
        """Rows have the length of the context and token ids of the vocabulary."""
        context = self.folder.config.get("context")
        subword = self.input("subword")
        size = subword.extra.get("size") if subword else None
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
            self.count(
                batch, ~(np.isclose(norms, 1, atol=1e-3) | (norms == 0)), "have vectors that are not unit vectors"
            )

    def check_image_codes(self, shard: Shard) -> None:
        """Each image has all codes, each below the size of the codebook."""
        length, vocab = self.manifest.extra.get("length"), self.manifest.extra.get("vocab")
        for batch in self._batches(shard, ["id", "width", "height", "codes"]):
            codes, owner = _flat(batch.column("codes"))
            counts = np.bincount(owner, minlength=batch.num_rows)
            if length is not None:
                self.count(batch, counts != length, f"have not {length} codes")
            if vocab is not None:
                bad = np.asarray(codes).astype(np.int64) >= vocab
                self.count(batch, _rows_of(bad, owner, batch.num_rows), f"have codes beyond {vocab}")
            sides = np.stack([np.asarray(batch.column(name).fill_null(0)) for name in ("width", "height")])
            self.count(batch, np.asarray(sides.min(axis=0) < 1), "have no usable width or height")


def _function(name: str) -> Callable[..., Any]:
    """The function of a "module:function"."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _ids(batches: Iterator[pa.RecordBatch]) -> pa.Array:
    return pa.chunked_array([batch.column("id") for batch in batches], pa.string()).combine_chunks()


def _floats(array: Any) -> NDArray[np.float64]:
    """Nulls become NaN."""
    return np.asarray(pc.fill_null(array, float("nan")), np.float64)


def _flat(lists: pa.ListArray) -> tuple[Any, NDArray[np.int64]]:
    """All members, and the row of each."""
    return lists.flatten(), np.asarray(pc.list_parent_indices(lists)).astype(np.int64)


def _rows_of(bad: NDArray[np.bool_], owner: NDArray[np.int64], rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(rows, bool)
    mask[owner[bad]] = True
    return mask
