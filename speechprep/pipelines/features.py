"""What `sample`, `units` and `pool` share: the frames of each utterance, in blocks, without a feature ever on disk.

Utterances of up to `LONG_SECONDS` are decoded ahead and given as one block; longer ones are decoded and extracted piece
by piece, so that memory does not grow with their length. Both ways give the same frames. Where the extractor gains by
batches (on a GPU), some minutes of utterances are decoded and given to it at once, for it to sort them by length; the
rows come out in their order all the same.
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
from speechprep.pipelines.engine.stage import StageConfig

LONG_SECONDS = 600.0
BATCH = 32  # utterances read, decoded and written together
AUDIO_COLUMNS = ("id", "audio", "audio_bytes", "offset", "duration")

F32 = NDArray[np.float32]


class ExtractorConfig(StageConfig):
    """Which extractor, and its parameters."""

    ALIASES: ClassVar[Mapping[str, str]] = {"extractor": "backend"}

    backend: str = Field("mfcc", description="name of the extractor; see: speechprep backends list")
    options: dict[str, Any] = Field(default_factory=dict, description="its parameters, for example {cmvn: utterance}")


def described(config: ExtractorConfig, extractor: Extractor) -> dict[str, Any]:
    """What a manifest must say of the extractor, so that a later stage can make the same one and check it."""
    return {
        "backend": {"extractor": config.backend, "options": config.options},
        "extractor": extractor.identity(),
        "grid": extractor.grid.as_dict(),
        "dim": extractor.dim,
    }


class Sound(Iterator[F32]):
    """The audio of one utterance in blocks of samples (n,), to be read once.

    Attributes:
        ready: what `together` of `for_each_utterance` made of it; None where it did not run.
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
    wanted: Callable[[dict[str, Any]], bool] = lambda row: True,
    together: Callable[[list[F32]], list[Any]] | None = None,
) -> None:
    """Give each utterance's audio to `work` and write the rows it returns; a BadInput becomes a reject.

    Args:
        ctx: reads the role `utterances`.
        work: (row without its audio bytes, audio at the backend's rate) -> output row, None for none.
        columns: what `row` shall hold beside id, audio, offset and duration.
        wanted: rows for which it is False are passed over, not decoded.
        together: of many utterances' samples what can be computed at once; `work` finds its own in `Sound.ready`. It
            runs where the backend's `window_seconds` is more than 0, and not for long utterances, nor in a shard in
            which a process has died.
    """
    names = [*AUDIO_COLUMNS, *(c for c in columns if c not in AUDIO_COLUMNS)]
    queue = _Queue(ctx, work, together)
    for batch in ctx.batches("utterances", names, rows=BATCH):
        rows = batch.drop_columns(["audio_bytes"]).to_pylist()
        picked = [i for i, row in enumerate(rows) if wanted(row)]
        for i, found in _audio(ctx, batch, rows, picked):
            queue.add(rows[i], found)
        queue.end_batch()
    queue.flush()


class _Queue:
    """Utterances that wait to be run together; without `together` none waits."""

    def __init__(self, ctx: ShardContext, work: Work, together: Callable[[list[F32]], list[Any]] | None) -> None:
        self._ctx, self._work, self._together = ctx, work, together
        window = 0.0 if together is None or ctx.work.alone else ctx.backend.window_seconds
        self._window = float(window)
        self._held: list[tuple[dict[str, Any], F32] | None] = []  # None: the end of a batch of rows
        self._seconds = 0.0
        self._made: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], found: F32 | BadInput | Iterator[F32]) -> None:
        """One more utterance: its audio, what is wrong with it, or its audio in blocks."""
        if isinstance(found, BadInput):
            self._ctx.reject(row["id"], found, row["audio"])
        elif not isinstance(found, np.ndarray):
            self.flush()  # what came before it goes before it
            with self._ctx.guard([row["id"]]):
                self._do(row, Sound(found))
        elif self._window:
            self._held.append((row, found))
            self._seconds += len(found) / self._ctx.backend.sample_rate
        else:
            self._do(row, Sound([found]))

    def end_batch(self) -> None:
        """A batch of rows has been read; what is made of it is written together, however it was computed."""
        self._held.append(None)
        if self._seconds >= self._window:
            self.flush()

    def flush(self) -> None:
        """Run all that waits."""
        ready = self._run_together()
        for number, held in enumerate(self._held):
            if held is None:
                self._write()
            else:
                row, samples = held
                self._do(row, Sound([samples], ready.get(number)))
        self._held, self._seconds = [], 0.0

    def _run_together(self) -> dict[int, Any]:
        """What `together` makes of those that wait, by their number; not of those that it would refuse."""
        if not self._window or self._together is None:
            return {}
        frames_of = self._ctx.backend.grid.num_frames
        chosen = {
            number: held[1] for number, held in enumerate(self._held) if held is not None and frames_of(len(held[1]))
        }
        return dict(zip(chosen, self._together(list(chosen.values())), strict=True)) if chosen else {}

    def _do(self, row: dict[str, Any], sound: Sound) -> None:
        try:
            result = self._work(row, sound)
        except BadInput as error:
            self._ctx.reject(row["id"], error, row["audio"])
            return
        if result is not None:
            self._made.append(result)
        self._ctx.done(utterances=1, seconds=row["duration"] or 0.0)

    def _write(self) -> None:
        if self._made:
            self._ctx.write(pa.RecordBatch.from_pylist(self._made, schema=self._ctx.schema))
        self._made = []


def _audio(
    ctx: ShardContext, batch: pa.RecordBatch, rows: list[dict[str, Any]], picked: list[int]
) -> Iterator[tuple[int, F32 | BadInput | Iterator[F32]]]:
    """(row number, its audio; of a long one in blocks, whose reading may raise BadInput) in order."""
    start = 0
    while start < len(picked):
        stop = start
        while stop < len(picked) and not _is_long(rows[picked[stop]]):
            stop += 1
        if stop > start:
            short = picked[start:stop]
            for i, found in ctx.audio(_rows(batch, short)):
                yield short[i], found
        if stop < len(picked):
            yield picked[stop], _streamed(ctx, batch, rows[picked[stop]], picked[stop])
            stop += 1
        start = stop


def _rows(batch: pa.RecordBatch, numbers: list[int]) -> pa.RecordBatch:
    """Some rows of a batch; embedded audio is not copied where they are neighbours."""
    part = batch.select(AUDIO_COLUMNS)
    if numbers[-1] - numbers[0] + 1 == len(numbers):
        return part.slice(numbers[0], len(numbers))
    return pa.RecordBatch.from_struct_array(part.to_struct_array().take(pa.array(numbers)))


def _is_long(row: dict[str, Any]) -> bool:
    return (row["duration"] or 0.0) > LONG_SECONDS


def _streamed(ctx: ShardContext, batch: pa.RecordBatch, row: dict[str, Any], i: int) -> Iterator[F32]:
    died = ctx.died_on(row["id"])
    if died is not None:
        raise died
    encoded = batch.column("audio_bytes")[i].as_py()
    source = encoded if encoded is not None else row["audio"]
    yield from audio.decode_blocks(source, row["offset"] or 0.0, row["duration"], ctx.backend.sample_rate)


def frames(
    extractor: Extractor, blocks: Iterator[F32], through: Callable[[Iterator[F32]], Iterator[F32]] = iter
) -> Iterator[F32]:
    """The frames (some, dim) of one utterance, in order; an extractor that cannot stream gets the audio whole.

    Args:
        extractor: whose frames.
        blocks: the audio; of a `Sound` whose frames are ready, those are given.
        through: sees all of the audio in any case.
    """
    heard = through(blocks)
    if isinstance(blocks, Sound) and blocks.ready is not None:
        for _ in heard:
            pass
        yield blocks.ready
    else:
        yield from extractor.extract_stream(heard)
