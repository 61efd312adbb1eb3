"""Reading rows back: `speechprep decode`, and the check that every row decodes to what it was made of.

Rows of `tokens` give words, units, frames and times; rows of `packed`, which hold token ids only, give words and
deduplicated units, document by document, put together again where a document was cut at the end of a row.
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

from speechprep.artifacts import manifest, shards, storage
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import ConfigError
from speechprep.pipelines.engine.join import RowWindow, positions, read_ids
from speechprep.tokenizers.interleave.invert import Segment, decode_row, parse_document, split_document_id, split_packed
from speechprep.tokenizers.interleave.roundtrip import mismatch
from speechprep.tokenizers.subword.vocabulary import Vocabulary

_ROWS = 512
_TRUTH = {
    "words": ["id", "words.list.element.text", "words.list.element.start", "words.list.element.end"],
    "units": ["id", "units"],
}


@dataclass(frozen=True)
class DecodedSpan:
    """One span of a decoded row. Times are None where the row does not hold them (`packed`).

    Attributes:
        modality: "unit" or "text".
        text: its words; None for units of which the words are not known.
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
        BadInput: a row that was not made with this vocabulary.
    """
    found = manifest.read(folder)
    wanted = None if ids is None else frozenset(ids)
    vocab = load_vocabulary(vocab_dir or storage.join(storage.parent(folder), "subword"))
    if found.kind == "tokens":
        yield from _decode_tokens(folder, found, vocab, wanted, words)
    elif found.kind == "packed":
        yield from _decode_packed(folder, found, vocab, wanted)
    else:
        raise ConfigError(f"{folder} holds {found.kind!r}; decode reads 'tokens' and 'packed'")


def load_vocabulary(folder: str) -> Vocabulary:
    """The vocabulary of a local or remote folder."""
    with tempfile.TemporaryDirectory() as local:
        return Vocabulary.load(storage.fetch_folder(folder, Path(local) / "subword"))


def _decode_tokens(
    folder: str, found: manifest.Manifest, vocab: Vocabulary, wanted: frozenset[str] | None, words: str | None
) -> Iterator[Decoded]:
    grid = FrameGrid(**found.extra["grid"])
    for shard in found.shards:
        spelled = _spellings(words, shard.name) if words is not None else {}
        for batch in shards.read_batches(storage.join(folder, shard.name), None, _ROWS):
            for row in _chosen(batch, wanted):
                spans = [_span(s, spelled.get(row["id"])) for s in decode_row(row, vocab, grid)]
                yield Decoded(row["id"], row["kind"], spans)


def _chosen(batch: pa.RecordBatch, wanted: frozenset[str] | None) -> list[dict[str, Any]]:
    if wanted is not None:
        names = zip(batch.column("id").to_pylist(), batch.column("kind").to_pylist(), strict=True)
        batch = batch.filter(pa.array([id in wanted or f"{id}#{kind}" in wanted for id, kind in names], pa.bool_()))
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def _spellings(words: str, shard: str) -> dict[str, list[str]]:
    uri = storage.join(words, shard)
    if not storage.exists(uri):
        return {}
    columns = ["id", "words.list.element.text"]
    rows = (row for batch in shards.read_batches(uri, columns, _ROWS) for row in batch.to_pylist())
    return {row["id"]: [word["text"] for word in row["words"] or ()] for row in rows}


def _span(segment: Segment, spelled: list[str] | None) -> DecodedSpan:
    words = [(word.text, word.start, word.end) for word in segment.words]
    text: str | None = segment.text
    if segment.modality == "unit":
        own = spelled[segment.word_start : segment.word_stop] if spelled else []
        text = " ".join(own) if own else None
        words = [(own[i] if own else None, start, end) for i, (_, start, end) in enumerate(words)]
    units, durations = segment.units.tolist(), segment.durations.tolist()
    return DecodedSpan(segment.modality, text, words, units, durations, segment.t0, segment.t1)


def _decode_packed(
    folder: str, found: manifest.Manifest, vocab: Vocabulary, wanted: frozenset[str] | None
) -> Iterator[Decoded]:
    name, tokens = "", np.zeros(0, np.int32)
    for shard in found.shards:
        for batch in shards.read_batches(storage.join(folder, shard.name), ["input_ids", "document_ids", "ids"], 64):
            for row in batch.to_pylist():
                for i, (document, part) in enumerate(split_packed(row)):
                    # Only the first of a row may go on from the row before, unless it is a copy, which begins anew.
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


def verify_tokens(folder: str, shard: str, inputs: Mapping[str, str]) -> Iterator[str]:
    """What is wrong in a shard of `tokens`: each row is decoded and held against the words and units it was made of.

    Args:
        folder: of `tokens`; `shard`: file name in it.
        inputs: the folders of "units" and "subword", and of "words" where there are any.
    """
    grid = FrameGrid(**manifest.read(folder).extra["grid"])
    vocab = load_vocabulary(inputs["subword"])
    units = _Truth(inputs["units"], shard, "units")
    words = _Truth(inputs["words"], shard, "words") if "words" in inputs else None
    for batch in shards.read_batches(storage.join(folder, shard), None, _ROWS):
        rows = batch.to_pylist()
        ids = list(dict.fromkeys(row["id"] for row in rows))
        spoken, written = units.of(ids), words.of(ids) if words is not None else {}
        for row in rows:
            wrong = mismatch(row, written.get(row["id"]), spoken.get(row["id"]), vocab, grid)
            if wrong:
                yield f"{shard}: {row['id']}#{row['kind']}: {wrong}"


class _Truth:
    """Rows of a shard of `words` or `units` by id, for ids that come in the order of the shard or nearly so."""

    def __init__(self, folder: str, shard: str, kind: str) -> None:
        uri = storage.join(folder, shard)
        self.kind = kind
        self._ids = read_ids(shards.read_batches(uri, ["id"], 8192), kind)
        self._window = RowWindow(shards.read_batches(uri, _TRUTH[kind], _ROWS), np.arange(len(self._ids)))
        self._last: dict[str, Any] = {}

    def of(self, ids: list[str]) -> dict[str, Any]:
        """What stands under these ids. An id may be asked for again in the next call, not later."""
        new = [id for id in ids if id not in self._last]
        where = positions(pa.chunked_array([new], pa.string()), self._ids)
        rows = (row for batch in self._window.take(where[where >= 0]) for row in batch.to_pylist())
        found = {row["id"]: row[self.kind] or [] for row in rows}
        self._last = {**found, **{id: self._last[id] for id in ids if id in self._last}}
        return self._last
