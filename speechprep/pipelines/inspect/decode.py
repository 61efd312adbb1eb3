"""Decoding of token rows for `speechprep decode`, and the check of every row against its words and units.

Rows of `tokens` give words, units, frames and times. Rows of `packed` hold token ids only: they give words and
deduplicated units, document by document. Documents cut at the end of a row are joined again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts import storage
from speechprep.artifacts.run import Dataset, open_dataset
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.engine.join import RowWindow, positions, read_ids
from speechprep.tokenizers.interleave.invert import Segment, decode_row, parse_document, split_document_id, split_packed
from speechprep.tokenizers.interleave.roundtrip import mismatch
from speechprep.tokenizers.subword.vocabulary import Vocabulary

_ROWS = 512
_SOURCE_COLUMNS = {
    "words": ["id", "words.list.element.text", "words.list.element.start", "words.list.element.end"],
    "units": ["id", "units"],
    "utterances": ["id", "text"],
}


@dataclass(frozen=True)
class DecodedSpan:
    """One span of a decoded row. Times are None for rows without times (`packed`).

    Attributes:
        modality: "unit" or "text".
        text: its words; None for units without known words.
        words: (text or None, start, end) of each, in seconds.
        units, durations: without repeats, and the frames of each.
        t0, t1: seconds.
    """

    modality: str
    text: str | None
    words: list[tuple[str | None, float, float]]
    units: list[int]
    durations: list[int]
    t0: float | None
    t1: float | None


@dataclass(frozen=True)
class Decoded:
    """A decoded row of `tokens`, or document of `packed`."""

    id: str
    kind: str
    spans: list[DecodedSpan]

    @property
    def text(self) -> str:
        """All known words, in row order."""
        return " ".join(span.text for span in self.spans if span.text)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "text": self.text}


def decode_dataset(
    folder: str, vocab_dir: str | None = None, *, ids: Collection[str] | None = None, words: str | None = None
) -> Iterator[Decoded]:
    """All rows of a folder of `tokens` or `packed`, in order.

    Args:
        folder: the dataset.
        vocab_dir: the folder of `subword`; not given: the one beside `folder`.
        ids: only these utterances ("<id>") or documents ("<id>#<kind>").
        words: the folder of `words`, for the spelling of words in spans of units.

    Raises:
        ConfigError: a folder of another kind.
        BadInput: a row of another vocabulary.
    """
    dataset = open_dataset(folder)
    wanted = None if ids is None else frozenset(ids)
    vocab = load_vocabulary(vocab_dir or storage.join(storage.parent(folder), "subword"))
    if dataset.kind == "tokens":
        yield from _decode_tokens(dataset, vocab, wanted, words)
    elif dataset.kind == "packed":
        yield from _decode_packed(dataset, vocab, wanted)
    else:
        raise ConfigError(f"{folder} holds {dataset.kind!r}; give a folder of 'tokens' or 'packed'")


def load_vocabulary(folder: str) -> Vocabulary:
    """The vocabulary of a local or remote folder."""
    with tempfile.TemporaryDirectory() as local:
        return Vocabulary.load(storage.fetch_folder(folder, Path(local) / "subword"))


def _decode_tokens(
    tokens: Dataset, vocab: Vocabulary, wanted: frozenset[str] | None, words: str | None
) -> Iterator[Decoded]:
    grid = FrameGrid.of_extra(tokens.extra)
    spoken = open_dataset(words) if words is not None else None
    for shard in tokens.shards:
        spelled = _spellings(spoken, shard) if spoken is not None else {}
        for batch in tokens.batches(shard=shard, rows=_ROWS):
            for row in _chosen(batch, wanted):
                yield decode_one(row, vocab, grid, spelled.get(row["id"]))


def decode_one(row: Mapping[str, Any], vocab: Vocabulary, grid: FrameGrid, spelled: list[str] | None = None) -> Decoded:
    """One row of `tokens`.

    Args:
        row: of the dataset.
        vocab, grid: its vocabulary, and the frame grid of its units.
        spelled: the words of the utterance, for the spelling of words in spans of units.

    Raises:
        BadInput: the row was made with another vocabulary, or changed (`row_inconsistent`).
    """
    return Decoded(row["id"], row["kind"], [_span(segment, spelled) for segment in decode_row(row, vocab, grid)])


def _chosen(batch: pa.RecordBatch, wanted: frozenset[str] | None) -> list[dict[str, Any]]:
    if wanted is not None:
        names = zip(batch.column("id").to_pylist(), batch.column("kind").to_pylist(), strict=True)
        batch = batch.filter(pa.array([id in wanted or f"{id}#{kind}" in wanted for id, kind in names], pa.bool_()))
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def _spellings(words: Dataset, shard: str) -> dict[str, list[str]]:
    if shard not in words.shard_set:
        return {}
    columns = ["id", "words.list.element.text"]
    rows = (row for batch in words.batches(columns, shard, _ROWS) for row in batch.to_pylist())
    return {row["id"]: [word["text"] for word in row["words"] or ()] for row in rows}


def _span(segment: Segment, spelled: list[str] | None) -> DecodedSpan:
    words = [(word.text, word.start, word.end) for word in segment.words]
    text: str | None = segment.text
    if segment.modality == "unit":
        spellings = spelled[segment.word_start : segment.word_stop] if spelled else []
        text = " ".join(spellings) if spellings else None
        words = [(spellings[i] if spellings else None, start, end) for i, (_, start, end) in enumerate(words)]
    units, durations = segment.units.tolist(), segment.durations.tolist()
    return DecodedSpan(segment.modality, text, words, units, durations, segment.t0, segment.t1)


def _decode_packed(packed: Dataset, vocab: Vocabulary, wanted: frozenset[str] | None) -> Iterator[Decoded]:
    name, tokens = "", np.zeros(0, np.int32)
    for batch in packed.batches(["input_ids", "document_ids", "ids"], rows=64):
        for row in batch.to_pylist():
            for i, (document, part) in enumerate(split_packed(row)):
                # Only the first document of a row may continue the row before. A copy begins anew.
                if i == 0 and document == name and not _is_whole(name, tokens, vocab):
                    tokens = np.concatenate([tokens, part])
                    continue
                yield from _document(name, tokens, vocab, wanted)
                name, tokens = document, part
    yield from _document(name, tokens, vocab, wanted)


def _is_whole(name: str, tokens: NDArray[np.int32], vocab: Vocabulary) -> bool:
    """Whether a document has all its end tokens: CST rows have two."""
    ends = 2 if split_document_id(name)[1].startswith("cst") else 1
    return int(np.count_nonzero((tokens == vocab.u_end) | (tokens == vocab.t_end))) >= ends


def _document(
    name: str, tokens: NDArray[np.int32], vocab: Vocabulary, wanted: frozenset[str] | None
) -> Iterator[Decoded]:
    id, kind = split_document_id(name)
    if not len(tokens) or (wanted is not None and id not in wanted and name not in wanted):
        return
    spans = [
        DecodedSpan(
            part.modality,
            " ".join(part.words) if part.modality == "text" else None,
            [],
            part.units.tolist(),
            [],
            None,
            None,
        )
        for part in parse_document(tokens, vocab)
    ]
    yield Decoded(id, kind, spans)


def verify_tokens(tokens: Dataset, shard: str, inputs: Mapping[str, Dataset]) -> Iterator[str]:
    """Problems of a shard of `tokens`: each row is decoded and compared with its words and units.

    Args:
        tokens: the folder of `tokens`.
        shard: file name in it.
        inputs: the folders of "units" and "subword", and of "words" if the tokens have words; or the folders of
            "utterances" and "subword", for text without audio.
    """
    grid = FrameGrid.of_extra(tokens.extra)
    vocab = load_vocabulary(inputs["subword"].uri)
    units = _SourceRows(inputs["units"], shard, "units") if "units" in inputs else None
    words = next((_SourceRows(inputs[kind], shard, kind) for kind in ("words", "utterances") if kind in inputs), None)
    for batch in tokens.batches(shard=shard, rows=_ROWS):
        rows = batch.to_pylist()
        ids = list(dict.fromkeys(row["id"] for row in rows))
        unit_rows, word_rows = (source.of(ids) if source is not None else {} for source in (units, words))
        for row in rows:
            error = mismatch(row, word_rows.get(row["id"]), unit_rows.get(row["id"]), vocab, grid)
            if error:
                yield f"{row['id']}#{row['kind']}: {error}"


class _SourceRows:
    """Rows of a shard of `words` or `units` by id, for ids nearly in the order of the shard."""

    def __init__(self, dataset: Dataset, shard: str, kind: str) -> None:
        self.kind = kind
        self._ids = read_ids(dataset.batches(["id"], shard, 8192), kind)
        self._window = RowWindow(dataset.batches(_SOURCE_COLUMNS[kind], shard, _ROWS), np.arange(len(self._ids)))
        self._last: dict[str, Any] = {}

    def of(self, ids: list[str]) -> dict[str, Any]:
        """The rows of these ids. The next call may repeat an id, later calls may not."""
        new = [id for id in ids if id not in self._last]
        where = positions(pa.chunked_array([new], pa.string()), self._ids)
        rows = (row for batch in self._window.take(where[where >= 0]) for row in batch.to_pylist())
        new_rows = {row["id"]: self._values(row) for row in rows}
        self._last = {**new_rows, **{id: self._last[id] for id in ids if id in self._last}}
        return self._last

    def _values(self, row: dict[str, Any]) -> list[Any]:
        if self.kind == "utterances":
            return [{"text": word, "start": 0.0, "end": 0.0} for word in (row["text"] or "").split()]
        return row[self.kind] or []
