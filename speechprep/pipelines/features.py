"""What `sample`, `units` and `pool` share: the frames of each utterance, in blocks, without a feature ever on disk.

Utterances of up to `LONG_SECONDS` are decoded ahead and given as one block; longer ones are decoded and extracted piece
by piece, so that memory does not grow with their length. Both ways give the same frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import audio
from speechprep.errors import BadInput, ConfigError
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import StageConfig
from speechprep.registry import resolve

LONG_SECONDS = 600.0
BATCH = 32  # utterances read, decoded and written together
AUDIO_COLUMNS = ("id", "audio", "audio_bytes", "offset", "duration")

F32 = NDArray[np.float32]


class ExtractorConfig(StageConfig):
    """Which extractor, and its parameters."""

    extractor: str = Field("mfcc", description="name of the extractor; see: speechprep backends list")
    options: dict[str, Any] = Field(default_factory=dict, description="its parameters, for example {cmvn: utterance}")


def make_extractor(name: str, options: dict[str, Any]) -> Any:
    """The unloaded extractor of a configuration.

    Raises:
        ConfigError: no such extractor, or it has no such parameter.
    """
    try:
        return resolve("extractors", name)(**options)
    except TypeError as error:
        raise ConfigError(f"extractor {name!r} with options {options!r}: {error}") from None


def described(config: ExtractorConfig, extractor: Any) -> dict[str, Any]:
    """What a manifest must say of the extractor, so that a later stage can make the same one and check it."""
    return {
        "backend": {"extractor": config.extractor, "options": config.options},
        "extractor": extractor.identity(),
        "grid": extractor.grid.as_dict(),
        "dim": extractor.dim,
    }


def for_each_utterance(
    ctx: ShardContext,
    work: Callable[[dict[str, Any], Iterator[F32]], dict[str, Any] | None],
    columns: Iterable[str] = (),
    wanted: Callable[[dict[str, Any]], bool] = lambda row: True,
) -> None:
    """Give each utterance's audio blocks to `work` and write the rows it returns; a BadInput becomes a reject.

    Args:
        ctx: reads the role `utterances`.
        work: (row without its audio bytes, blocks of samples (n,) at the backend's rate) -> output row, None for none.
        columns: what `row` shall hold beside id, audio, offset and duration.
        wanted: rows for which it is False are passed over, not decoded.
    """
    names = [*AUDIO_COLUMNS, *(c for c in columns if c not in AUDIO_COLUMNS)]
    for batch in ctx.batches("utterances", names, rows=BATCH):
        rows = batch.drop_columns(["audio_bytes"]).to_pylist()
        picked = [i for i, row in enumerate(rows) if wanted(row)]
        made = []
        for i, blocks in _audio(ctx, batch, rows, picked):
            row = rows[i]
            try:
                result = work(row, blocks)
            except BadInput as error:
                ctx.reject(row["id"], error, row["audio"])
                continue
            if result is not None:
                made.append(result)
            ctx.done(utterances=1, seconds=row["duration"] or 0.0)
        if made:
            ctx.write(pa.RecordBatch.from_pylist(made, schema=ctx.schema))


def _audio(
    ctx: ShardContext, batch: pa.RecordBatch, rows: list[dict[str, Any]], picked: list[int]
) -> Iterator[tuple[int, Iterator[F32]]]:
    """(row number, its audio in blocks) in order. Reading the blocks raises BadInput where the audio is unusable."""
    start = 0
    while start < len(picked):
        stop = start
        while stop < len(picked) and not _is_long(rows[picked[stop]]):
            stop += 1
        if stop > start:
            short = picked[start:stop]
            for i, found in ctx.audio(_rows(batch, short)):
                yield short[i], _whole(found)
        if stop < len(picked):
            with ctx.guard([rows[picked[stop]]["id"]]):
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


def _whole(found: F32 | BadInput) -> Iterator[F32]:
    if isinstance(found, BadInput):
        raise found
    yield found


def _streamed(ctx: ShardContext, batch: pa.RecordBatch, row: dict[str, Any], i: int) -> Iterator[F32]:
    if row["id"] in ctx.work.suspects:
        raise BadInput("process_died", "the worker process died twice on this utterance (out of memory or a crash)")
    encoded = batch.column("audio_bytes")[i].as_py()
    source = encoded if encoded is not None else row["audio"]
    yield from audio.decode_blocks(source, row["offset"] or 0.0, row["duration"], ctx.backend.sample_rate)


def frames(extractor: Any, blocks: Iterator[F32]) -> Iterator[F32]:
    """The frames (some, dim) of one utterance, in order; an extractor that cannot stream gets the audio whole."""
    if hasattr(extractor, "extract_stream"):
        yield from extractor.extract_stream(blocks)
    else:
        yield extractor.extract([np.concatenate(list(blocks))])[0]
