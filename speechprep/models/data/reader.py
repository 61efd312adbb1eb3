"""The reader: batches of several sources in one order, for any split over ranks and workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts import manifest
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.models.data.codes import Codes
from speechprep.models.data.masks import position_ids
from speechprep.models.data.schedule import Schedule
from speechprep.models.data.source import Source
from speechprep.models.data.streams.base import Stream
from speechprep.models.data.streams.choose import open_stream
from speechprep.tokenizers.arrays.ragged import Ints

End = Literal["never", "first", "all"]
CHUNK_TOKENS, CHUNK_BATCHES = 1 << 17, 32  # batches are made so many at a time, which costs less than one by one
_STATE = 1


class Batch(TypedDict, total=False):
    """Rows of one step of one rank; see the package's text."""

    input_ids: NDArray[np.int64]
    document_ids: NDArray[np.int32]
    modality_ids: NDArray[np.int8]
    position_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    sources: NDArray[np.int16]
    samples: NDArray[np.int64]
    names: list[list[str]]


class Reader:
    """Batches of rows of `context` tokens from sources.

    All checks are made here, before the first row; see `streams` for the refusals. Iterating goes on where the
    last iteration stopped; `seek(0)` begins anew.

    Args:
        sources: the sources of the mixture.
        context: tokens of a row.
        codes: metadata of the model's vocabulary.
        batch_rows: rows of a batch of one rank.
        seed: of all shuffling.
        rank, world: this process is number `rank` of `world`.
        end: "never": a source begins a new epoch at its end. "first": the order ends where the first source would
            begin
            its epoch number `epochs`. "all": the end is the `epochs`-th end of the last source; shorter sources are
            repeated.
        epochs: see `end`.
        share: unit of the weights: "tokens" (without padding) or "rows".
        drop_last: leave out the rows of an incomplete last step, for equal numbers of batches on all ranks.
            Without it the last batch may be smaller, and some ranks may have one batch less.
        names: also give the names of the documents.
        window_tokens: rows or documents are shuffled within windows of about so many tokens, made of row groups in a
            shuffled order. Memory holds one window of each source.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        context: int,
        *,
        codes: Codes,
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
        self.context, self.codes, self.batch_rows = context, codes, batch_rows
        self.seed, self.rank, self.world = seed, rank, world
        self.drop_last, self.names = drop_last, names
        self.streams: list[Stream] = [open_stream(s, context, codes, seed, window_tokens, names=names) for s in sources]
        self.schedule = Schedule.of([_rate(s, stream, share) for s, stream in zip(sources, self.streams, strict=True)])
        ends = [self.schedule.first_row(i, s.rows * epochs) for i, s in enumerate(self.streams)]
        last = [self.schedule.first_row(i, s.rows * epochs - 1) + 1 for i, s in enumerate(self.streams)]
        self.total: int | None = {"never": None, "first": min(ends), "all": max(last)}[end]
        self.row = 0
        self._made_of = {
            "format": _STATE,
            "seed": seed,
            "context": context,
            "vocabulary": codes.fingerprint,
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
            raise ConfigError("a reader with end='never' has no length; set the number of steps in the trainer")
        return self._batches(0, self.total)

    def _batches(self, begin: int, end: int) -> int:
        step = self.world * self.batch_rows
        whole, rest = divmod(max(end - begin, 0), step)
        return whole + (not self.drop_last and rest > self.rank * self.batch_rows)

    def __iter__(self) -> Iterator[Batch]:
        """Batches of this rank from where the reader stands."""
        yield from self.batches()

    def batches(self, worker: int = 0, workers: int = 1) -> Iterator[Batch]:
        """Every `workers`-th batch of this rank, from number `worker` on, from where the reader stands.

        So loader workers share the batches of a rank, and taking from them in turn gives the order of one.
        """
        begin, step = self.row, self.world * self.batch_rows
        at_once = min(max(1, CHUNK_TOKENS // (self.batch_rows * self.context)), CHUNK_BATCHES)
        count = None if self.total is None else self._batches(begin, self.total)
        number = worker
        while count is None or number < count:
            stop = number + workers * at_once
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
        """Rows of the order by their ascending global numbers (n,). Changes nothing."""
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
        out["modality_ids"] = self.codes.modality[out["input_ids"]]
        out["position_ids"] = position_ids(out["document_ids"])
        return out

    def state(self, row: int | None = None) -> dict[str, Any]:
        """Where the reader stands, or the state at a given row: for JSON, some hundred bytes.

        It is the same for all ranks of a run after a step.
        """
        return {**self._made_of, "row": self.row if row is None else row}

    def row_after(self, batches: int, begin: int = 0) -> int:
        """The first remaining row after this number of batches on every rank, from row `begin` on."""
        row = begin + batches * self.world * self.batch_rows
        return row if self.total is None else min(row, self.total)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on after a state; rank, world and batch size may be others.

        Raises:
            StaleArtifact: the state of another order; the message names the differences.
        """
        known = {key: value for key, value in state.items() if key != "row"}
        different = manifest.differences(known, self._made_of)
        if different or not isinstance(state.get("row"), int):
            raise StaleArtifact(
                f"this state is of another order of samples ({'; '.join(different[:3]) or 'it has no row'}); "
                "give the data and the options of the run that it is of, or begin anew"
            )
        self.seek(state["row"])

    def seek(self, row: int) -> None:
        """Stand before a global row number: `row` rows are taken."""
        if row < 0:
            raise ConfigError(f"row {row}: rows are counted from 0")
        self.row = row

    def facts(self) -> list[dict[str, Any]]:
        """Of each source: folder, rows and tokens of an epoch, and its share of rows and of tokens in the mixture."""
        rates = self.schedule.counts / self.schedule.counts.sum()
        tokens = [rate * s.tokens / s.rows for rate, s in zip(rates.tolist(), self.streams, strict=True)]
        return [
            {
                "folder": s.folder.uri,
                "rows": s.rows,
                "tokens": s.tokens,
                "share_of_rows": rate,
                "share_of_tokens": own / sum(tokens),
            }
            for s, rate, own in zip(self.streams, rates.tolist(), tokens, strict=True)
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
        raise ConfigError("a reader needs at least one source")
    if len({s.weight is None for s in sources}) > 1:
        raise ConfigError("some sources have a weight and some have none; give all of them one, or none")
    if context < 2:
        raise ConfigError(f"context={context}; at least 2 tokens are needed")
    if batch_rows < 1:
        raise ConfigError(f"batch_rows={batch_rows}; at least 1 is needed")
    if not 0 <= rank < world:
        raise ConfigError(f"rank {rank} of {world}; ranks are counted from 0")
    if end not in ("never", "first", "all"):
        raise ConfigError(f"end={end!r}; there are: never, first, all")
    if epochs < 1:
        raise ConfigError(f"epochs={epochs}; at least 1 is needed")
    if share not in ("tokens", "rows"):
        raise ConfigError(f"share={share!r}; there are: tokens, rows")
