"""The reader: batches from a mixture of sources, in one order for any number of ranks and workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data.masks import position_ids
from speechprep.models.data.schedule import Schedule
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import Stream
from speechprep.models.data.streams.open_stream import open_stream
from speechprep.models.data.unit_identity import check_same_units
from speechprep.models.data.vocabulary import VocabularyMetadata
from speechprep.tokenizers.arrays.ragged import Ints

End = Literal["never", "first", "all"]
CHUNK_TOKENS, CHUNK_BATCHES = 1 << 17, 32  # limits on the batches assembled together; one by one is slower
_STATE = 1


class Batch(TypedDict, total=False):
    """One batch of one rank. Shapes are in the docstring of `models.data`."""

    input_ids: NDArray[np.int64]
    document_ids: NDArray[np.int32]
    modality_ids: NDArray[np.int8]
    position_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    sources: NDArray[np.int16]
    samples: NDArray[np.int64]
    names: list[list[str]]


class Reader:
    """Batches of rows of `context` tokens from a mixture of sources.

    The constructor checks all folders. Iteration resumes at the current row; `seek(0)` restarts.

    Args:
        sources: the sources of the mixture.
        context: tokens of a row.
        vocabulary: metadata of the model's vocabulary.
        batch_rows: rows of a batch of one rank.
        seed: seed of all shuffling.
        rank, world: index of this process, and number of processes.
        end: "never": a source starts a new epoch at its end. "first": the order ends when the first source has
            finished `epochs` epochs. "all": it ends when every source has; shorter sources are repeated.
        epochs: number of epochs, see `end`.
        share: unit of the weights: "tokens" (without padding) or "rows".
        drop_last: leave out the rows of an incomplete last step, for equal numbers of batches on all ranks.
            Without it the last batch may be smaller, and some ranks may have one batch less.
        names: also return the names of the documents.
        window_tokens: size of a shuffling window in tokens. A window consists of row groups in shuffled order; memory
            holds one window of each source.

    Raises:
        ConfigError, StaleArtifact, SchemaMismatch: see `Source`, `open_stream` and `open_folder`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        context: int,
        *,
        vocabulary: VocabularyMetadata,
        batch_rows: int = 8,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        end: End = "never",
        epochs: int = 1,
        share: Literal["tokens", "rows"] = "tokens",
        drop_last: bool = False,
        names: bool = False,
        window_tokens: int = 1 << 21,
    ) -> None:
        _check(sources, context, batch_rows, rank, world, end, epochs, share)
        self.context, self.vocabulary, self.batch_rows = context, vocabulary, batch_rows
        self.seed, self.rank, self.world = seed, rank, world
        self.drop_last, self.names = drop_last, names
        check_same_units([storage.join(s.folder, "units") if s.render else s.folder for s in sources])
        self.streams: list[Stream] = [
            open_stream(s, context, vocabulary, seed, window_tokens, names=names) for s in sources
        ]
        self.schedule = Schedule.of([_rate(s, stream, share) for s, stream in zip(sources, self.streams, strict=True)])
        ends = [self.schedule.first_row(i, s.rows * epochs) for i, s in enumerate(self.streams)]
        last = [self.schedule.first_row(i, s.rows * epochs - 1) + 1 for i, s in enumerate(self.streams)]
        self.total: int | None = {"never": None, "first": min(ends), "all": max(last)}[end]
        self.row = 0
        self._order_parameters = {
            "format": _STATE,
            "seed": seed,
            "context": context,
            "vocabulary": vocabulary.fingerprint,
            "window_tokens": window_tokens,
            "schedule": self.schedule.counts.tolist(),
            "sources": {f"source {i}": s.identity for i, s in enumerate(self.streams)},
        }

    def __len__(self) -> int:
        """Batches of this rank from row 0 to the end.

        Raises:
            ConfigError: the order has no end.
        """
        if self.total is None:
            raise ConfigError("end='never': the reader has no length; set the number of steps in the trainer")
        return self._batches(0, self.total)

    def _batches(self, begin: int, end: int) -> int:
        step = self.world * self.batch_rows
        whole, rest = divmod(max(end - begin, 0), step)
        return whole + (not self.drop_last and rest > self.rank * self.batch_rows)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of this rank from the current row on."""
        yield from self.batches()

    def batches(self, worker: int = 0, workers: int = 1) -> Iterator[Batch]:
        """Every `workers`-th batch of this rank from the current row on, starting with batch number `worker`.

        Taking batches from all workers in turn gives the order of a single worker.
        """
        begin, step = self.row, self.world * self.batch_rows
        chunk_batches = min(max(1, CHUNK_TOKENS // (self.batch_rows * self.context)), CHUNK_BATCHES)
        count = None if self.total is None else self._batches(begin, self.total)
        number = worker
        while count is None or number < count:
            stop = number + workers * chunk_batches
            numbers = np.arange(number, stop if count is None else min(stop, count), workers, dtype=np.int64)
            first = begin + numbers * step + self.rank * self.batch_rows
            rows = (first[:, None] + np.arange(self.batch_rows)).reshape(-1)
            if self.total is not None:
                rows = rows[rows < self.total]
            chunk = self.read(rows)
            for i, n in enumerate(numbers.tolist()):
                part = slice(i * self.batch_rows, (i + 1) * self.batch_rows)
                self.row = self.row_after(n + 1, begin)
                yield {key: value[part] for key, value in chunk.items()}  # type: ignore[index, misc]
            number = stop

    def read(self, rows: Ints) -> Batch:
        """Rows with the ascending global numbers (n,). The position of the reader does not change."""
        which, number = self.schedule.locate(rows)
        shape = (len(rows), self.context)
        out: Batch = {
            "input_ids": np.empty(shape, np.int64),
            "document_ids": np.empty(shape, np.int32),
            "rows": rows,
            "sources": which,
            "samples": np.empty(len(rows), np.int64),
        }
        if self.names:
            out["names"] = [[] for _ in range(len(rows))]
        for i, stream in enumerate(self.streams):
            into = np.flatnonzero(which == i)
            if len(into):
                stream.fill(number[into], into, out)
        out["modality_ids"] = self.vocabulary.modality[out["input_ids"]]
        out["position_ids"] = position_ids(out["document_ids"])
        return out

    def state(self, row: int | None = None) -> dict[str, Any]:
        """State for JSON, some hundred bytes: the parameters of the order, and the current row or `row`.

        After a step it is equal on all ranks.
        """
        return {**self._order_parameters, "row": self.row if row is None else row}

    def row_after(self, batches: int, begin: int = 0) -> int:
        """The next row after `batches` batches on every rank, counted from row `begin`."""
        row = begin + batches * self.world * self.batch_rows
        return row if self.total is None else min(row, self.total)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume after a state, with any rank, world and batch size.

        Raises:
            StaleArtifact: the state belongs to another order; the message lists the differences.
        """
        parameters = {key: value for key, value in state.items() if key != "row"}
        differences = manifest.differences(parameters, self._order_parameters)
        if differences or not isinstance(state.get("row"), int):
            raise StaleArtifact(
                f"the state belongs to another order of samples ({'; '.join(differences[:3]) or 'it has no row'}); "
                "use the data and options of its run, or restart"
            )
        self.seek(state["row"])

    def seek(self, row: int) -> None:
        """Set the position to a global row number: `row` rows have been read."""
        if row < 0:
            raise ConfigError(f"row {row} is negative; give a row of at least 0")
        self.row = row

    def facts(self) -> list[dict[str, Any]]:
        """For each source: folder, rows and tokens of an epoch, and its shares of the mixture in rows and in tokens."""
        rates = self.schedule.counts / self.schedule.counts.sum()
        tokens = [rate * s.tokens / s.rows for rate, s in zip(rates.tolist(), self.streams, strict=True)]
        return [
            {
                "folder": s.source.folder,
                "rows": s.rows,
                "tokens": s.tokens,
                "share_of_rows": rate,
                "share_of_tokens": source_tokens / sum(tokens),
            }
            for s, rate, source_tokens in zip(self.streams, rates.tolist(), tokens, strict=True)
        ]


def _rate(source: Source, stream: Stream, share: str) -> Fraction:
    """Rows of a source, relative to the other sources."""
    if source.weight is None:
        return Fraction(stream.rows)
    return Fraction(source.weight) / (Fraction(stream.tokens, stream.rows) if share == "tokens" else 1)


def _check(
    sources: Sequence[Source], context: int, batch_rows: int, rank: int, world: int, end: str, epochs: int, share: str
) -> None:
    if not sources:
        raise ConfigError("the list of sources is empty; give at least one source")
    if len({s.weight is None for s in sources}) > 1:
        raise ConfigError("only some sources have a weight; set the weight of all sources, or of none")
    if context < 2:
        raise ConfigError(f"context={context} is too short; set at least 2 tokens")
    if batch_rows < 1:
        raise ConfigError(f"batch_rows={batch_rows} is too low; set at least 1")
    if not 0 <= rank < world:
        raise ConfigError(f"rank {rank} of {world} is out of range; set a rank from 0 to {world - 1}")
    if end not in ("never", "first", "all"):
        raise ConfigError(f"end={end!r} is unknown; set one of never, first, all")
    if epochs < 1:
        raise ConfigError(f"epochs={epochs} is too low; set at least 1")
    if share not in ("tokens", "rows"):
        raise ConfigError(f"share={share!r} is unknown; set one of tokens, rows")
