"""Feature extraction for `sample`, `units` and `pool`: the frames of each utterance, in blocks, never stored on disk.

Utterances up to `LONG_SECONDS` are decoded ahead, as one block. Longer utterances are decoded and extracted in blocks,
so memory does not grow with their length. Both ways give the same frames. For an extractor with `window_seconds` (on a
GPU), some minutes of utterances are decoded and extracted together. The rows are written in their original order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.media import audio
from speechprep.errors import BadInput
from speechprep.pipelines.backends import Extractor
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.recovery.hashes import checked_audio
from speechprep.pipelines.engine.recovery.time_limit import limited_blocks
from speechprep.pipelines.engine.stage import StageConfig

LONG_SECONDS = 600.0
BATCH = 32  # utterances read, decoded and written together
AUDIO_COLUMNS = ("id", "audio", "audio_bytes", "offset", "duration", "audio_sha256")

F32 = NDArray[np.float32]


class ExtractorConfig(StageConfig):
    """Name and options of an extractor."""

    ALIASES: ClassVar[Mapping[str, str]] = {"extractor": "backend"}

    backend: str = Field("mfcc", description="name of the extractor; see: speechprep backends list")
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of the extractor, for example {cmvn: utterance}"
    )


def described(config: ExtractorConfig, extractor: Extractor) -> dict[str, Any]:
    """Entries of a manifest from which a later stage makes the same extractor and checks it."""
    return {
        "backend": {"extractor": config.backend, "options": config.options},
        "extractor": extractor.identity(),
        "grid": extractor.grid.as_dict(),
        "dim": extractor.dim,
    }


class Sound(Iterator[F32]):
    """The audio of one utterance in blocks of samples (n,), to be read once.

    Attributes:
        ready: result of `together` of `for_each_utterance` for this utterance; None if it did not run.
    """

    def __init__(self, blocks: Iterable[F32], ready: Any = None) -> None:
        self._blocks, self.ready = iter(blocks), ready

    def __next__(self) -> F32:
        return next(self._blocks)


Work = Callable[[dict[str, Any], Sound], dict[str, Any] | None]


def for_each_utterance(
    ctx: ShardContext,
    work: Work,
    columns: Iterable[str] = (),
    select: Callable[[dict[str, Any]], bool] = lambda row: True,
    together: Callable[[list[F32]], list[Any]] | None = None,
    source: Iterable[pa.RecordBatch] | None = None,
) -> None:
    """Call `work` with the audio of each utterance and write the rows it returns; a BadInput becomes a reject.

    Args:
        ctx: reads the role `utterances`.
        work: (row without its audio bytes, audio at the rate of the backend) -> output row, or None.
        columns: columns of `row` in addition to id, audio, offset and duration.
        select: rows with the value False are skipped and not decoded.
        together: computes one result for each of many utterances at once; `work` reads its result from `Sound.ready`.
            It runs only if `window_seconds` of the backend is above 0. It does not run for long utterances, nor in a
            shard after the death of a process.
        source: rows with these columns; None: the role `utterances`.
    """
    names = [*AUDIO_COLUMNS, *(c for c in columns if c not in AUDIO_COLUMNS)]
    queue = _Queue(ctx, work, together)
    for batch in ctx.batches("utterances", names, rows=BATCH) if source is None else source:
        rows = batch.drop_columns(["audio_bytes"]).to_pylist()
        selected = [i for i, row in enumerate(rows) if select(row)]
        for i, samples in _audio(ctx, batch, rows, selected):
            queue.add(rows[i], samples)
        queue.end_batch()
    queue.flush()


class _Queue:
    """Queue of decoded utterances until `together` runs; without `together` each utterance runs at once."""

    def __init__(self, ctx: ShardContext, work: Work, together: Callable[[list[F32]], list[Any]] | None) -> None:
        self._ctx, self._work, self._together = ctx, work, together
        window = 0.0 if together is None or ctx.one_by_one else ctx.backend.window_seconds
        self._window = float(window)
        self._waiting: list[tuple[dict[str, Any], F32] | None] = []  # None: the end of a batch of rows
        self._seconds = 0.0
        self._rows: list[dict[str, Any]] = []  # output, not yet written

    def add(self, row: dict[str, Any], samples: F32 | BadInput | Iterator[F32]) -> None:
        """Add an utterance: its audio, the error of its decoding, or its audio in blocks."""
        if isinstance(samples, BadInput):
            self._ctx.reject(row["id"], samples, row["audio"])
        elif not isinstance(samples, np.ndarray):
            self.flush()  # keeps the order of the rows
            with self._ctx.guard([row["id"]]):
                self._do(row, Sound(samples))
        elif self._window:
            self._waiting.append((row, samples))
            self._seconds += len(samples) / self._ctx.backend.sample_rate
        else:
            self._do(row, Sound([samples]))

    def end_batch(self) -> None:
        """Mark the end of a batch of rows; its output rows are written together in either way of computation."""
        self._waiting.append(None)
        if self._seconds >= self._window:
            self.flush()

    def flush(self) -> None:
        """Process all waiting utterances."""
        results = self._run_together()
        for number, entry in enumerate(self._waiting):
            if entry is None:
                self._write()
            else:
                row, samples = entry
                self._do(row, Sound([samples], results.get(number)))
        self._waiting, self._seconds = [], 0.0

    def _run_together(self) -> dict[int, Any]:
        """Results of `together` by number in the queue; audio of less than one frame is left out."""
        if not self._window or self._together is None:
            return {}
        frames_of = self._ctx.backend.grid.num_frames
        numbered = {number: entry[1] for number, entry in enumerate(self._waiting) if entry is not None}
        batch = {number: samples for number, samples in numbered.items() if frames_of(len(samples))}
        return dict(zip(batch, self._together(list(batch.values())), strict=True)) if batch else {}

    def _do(self, row: dict[str, Any], sound: Sound) -> None:
        try:
            result = self._work(row, sound)
        except BadInput as error:
            self._ctx.reject(row["id"], error, row["audio"])
            return
        if result is not None:
            self._rows.append(result)
        self._ctx.done(utterances=1, seconds=row["duration"] or 0.0)

    def _write(self) -> None:
        if self._rows:
            self._ctx.write(pa.RecordBatch.from_pylist(self._rows, schema=self._ctx.schema))
        self._rows = []


def _audio(
    ctx: ShardContext, batch: pa.RecordBatch, rows: list[dict[str, Any]], selected: list[int]
) -> Iterator[tuple[int, F32 | BadInput | Iterator[F32]]]:
    """(row number, audio) in order; long audio as an iterator of blocks, and reading it may raise BadInput."""
    start = 0
    while start < len(selected):
        stop = start
        while stop < len(selected) and not _is_long(rows[selected[stop]]):
            stop += 1
        if stop > start:
            short = selected[start:stop]
            for i, samples in ctx.audio(_rows(batch, short)):
                yield short[i], samples
        if stop < len(selected):
            yield selected[stop], _streamed(ctx, batch, rows[selected[stop]], selected[stop])
            stop += 1
        start = stop


def _rows(batch: pa.RecordBatch, numbers: list[int]) -> pa.RecordBatch:
    """Some rows of a batch; embedded audio is not copied if the rows are adjacent."""
    part = batch.select(AUDIO_COLUMNS)
    if numbers[-1] - numbers[0] + 1 == len(numbers):
        return part.slice(numbers[0], len(numbers))
    return pa.RecordBatch.from_struct_array(part.to_struct_array().take(pa.array(numbers)))


def _is_long(row: dict[str, Any]) -> bool:
    return (row["duration"] or 0.0) > LONG_SECONDS


def _streamed(ctx: ShardContext, batch: pa.RecordBatch, row: dict[str, Any], i: int) -> Iterator[F32]:
    crash = ctx.crash_error(row["id"])
    if crash is not None:
        raise crash
    encoded = batch.column("audio_bytes")[i].as_py()
    source = encoded if encoded is not None else row["audio"]
    rate = ctx.backend.sample_rate

    def blocks() -> Iterator[F32]:
        checked = checked_audio(source, row["audio_sha256"])
        yield from audio.decode_blocks(checked, row["offset"] or 0.0, row["duration"], rate)

    yield from limited_blocks(blocks(), ctx.time_limit)


def frames(
    extractor: Extractor, blocks: Iterator[F32], tap: Callable[[Iterator[F32]], Iterator[F32]] = iter
) -> Iterator[F32]:
    """The frames of one utterance in order, in blocks (some frames, dim).

    Args:
        extractor: computes the frames, unless `blocks` is a `Sound` with the frames in `ready`.
        blocks: the audio.
        tap: wraps `blocks` and receives all of the audio, also if the frames are ready.
    """
    tapped = tap(blocks)
    if isinstance(blocks, Sound) and blocks.ready is not None:
        for _ in tapped:
            pass
        yield blocks.ready
    else:
        yield from extractor.extract_stream(tapped)
