"""pool: utterances or clips -> pooled, one teacher vector for each.

Reads `utterances`, or `clips` with `rows = clips`. Writes `pooled`, one output shard for each input shard. Clips hold
the place of their audio; for clips of audio stored in `utterances`, the stage reads both.

Row: id, mean list<float32> over the valid frames, mean_all over all frames of the extractor (the same vector for an
extractor without padding), n_valid. Sums are
float64, frame by frame. The manifest has `mean` and `std`: mean and standard deviation of `mean` over the corpus,
for standardising.
Rejected: undecodable audio, and `audio_too_short` for less than one frame.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.schemas import POOLED
from speechprep.errors import ConfigError
from speechprep.pipelines.backends import Extractor
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Finished, Read, Stage
from speechprep.pipelines.features import (
    AUDIO_COLUMNS,
    BATCH,
    ExtractorConfig,
    Sound,
    described,
    for_each_utterance,
)
from speechprep.registry import make

BYTES = 64 << 20  # of stored audio in a batch of clips

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class Config(ExtractorConfig):
    """Options of `pool`."""

    ADDED_LATER: ClassVar[frozenset[str]] = frozenset({"rows"})

    rows: Literal["auto", "utterances", "clips"] = Field(
        "auto",
        description="one vector for each row of utterances, or for each row of clips; auto: utterances, or clips if "
        "there are no utterances among the inputs",
    )


UTTERANCES = Read("utterances", "utterances")
STORED_AUDIO = Read("utterances", "utterances", optional=True)
CLIPS = Read("clips", "clips")


def choose_reads(options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
    """Inputs for the option `rows`: utterances, or clips with the utterances for stored audio."""
    rows = options.get("rows", "auto")
    only_clips = "utterances" not in kinds and "clips" in kinds
    return (CLIPS, STORED_AUDIO) if rows == "clips" or (rows == "auto" and only_clips) else (UTTERANCES,)


class RunningMean:
    """Mean (dim,) of the frames in blocks (some, dim); the same bits however they are cut."""

    def __init__(self) -> None:
        self.n = 0
        self._total: F64 | None = None

    def add(self, block: F32) -> None:
        """Some more frames."""
        wide = block.astype(np.float64)
        # Down the rows numpy adds one row after the other, so the running sum goes in front.
        self._total = np.add.reduce(wide if self._total is None else np.concatenate([self._total[None], wide]), axis=0)
        self.n += len(block)

    @property
    def value(self) -> F32:
        """The mean so far."""
        if self._total is None:
            raise ValueError("no frames to pool")
        return np.asarray(self._total / self.n, np.float32)


def pool_utterance(extractor: Extractor, row: dict[str, Any], blocks: Iterator[F32]) -> dict[str, Any]:
    """Output row of one utterance: the mean of its valid frames, and of all frames with those of the padding.

    `ready` of a `Sound` holds the blocks of `extract_padded_batch`, if the utterance ran together with others.
    """
    ready = blocks.ready if isinstance(blocks, Sound) else None
    valid, everything = RunningMean(), None
    for block, n in extractor.extract_padded(blocks) if ready is None else ready:
        if everything is None and n < len(block):  # up to the first padding both means are the same
            everything = copy(valid)
        valid.add(block[:n])
        if everything is not None:
            everything.add(block)
    return {"id": row["id"], "mean": valid.value, "mean_all": (everything or valid).value, "n_valid": valid.n}


def run(ctx: ShardContext) -> None:
    """One shard."""
    extractor: Extractor = ctx.backend
    for_each_utterance(
        ctx,
        lambda row, sound: pool_utterance(extractor, row, sound),
        together=extractor.extract_padded_batch,
        source=clip_rows(ctx) if ctx.has("clips") else None,
    )


def clip_rows(ctx: ShardContext) -> Iterator[pa.RecordBatch]:
    """Clips of the shard with the columns of `AUDIO_COLUMNS`, in order. An id is the id of a clip.

    Raises:
        ConfigError: the audio is stored in `utterances`, which is not an input.
    """
    names = [name for name in AUDIO_COLUMNS if name not in ("audio_bytes", "audio_sha256")]
    clips = ctx.table("clips", [*names, "utterance", "recording"]).combine_chunks()
    if not clips.column("audio").null_count:
        for batch in clips.to_batches(max_chunksize=BATCH):
            yield _with_audio(batch, pa.nulls(len(batch), pa.large_binary()))
    elif not ctx.has("utterances"):
        raise ConfigError("pool: the audio of these clips is stored in utterances; add --input RUN/utterances")
    else:
        yield from _with_stored_audio(ctx, clips)


def _with_audio(clips: pa.RecordBatch, stored: pa.Array) -> pa.RecordBatch:
    others = {"audio_bytes": stored, "audio_sha256": clips.column("recording")}
    columns = [others[name] if name in others else clips.column(name) for name in AUDIO_COLUMNS]
    return pa.RecordBatch.from_arrays(columns, names=list(AUDIO_COLUMNS))


def _with_stored_audio(ctx: ShardContext, clips: pa.Table) -> Iterator[pa.RecordBatch]:
    """The clips of each utterance with copies of its encoded file, `BYTES` or one clip at a time."""
    for utterance in ctx.batches("utterances", ["id", "audio_bytes"], rows=1):
        stored = utterance.column("audio_bytes")
        step = min(BATCH, max(1, BYTES // max(stored.nbytes, 1)))
        own = clips.filter(pc.equal(clips.column("utterance"), utterance.column("id")[0])).combine_chunks()
        for batch in own.to_batches(max_chunksize=step):
            yield _with_audio(batch, stored.take(pa.array(np.zeros(len(batch), np.int64))))


def moments(vectors: Iterator[F64], dim: int) -> tuple[F64, F64]:
    """Mean and standard deviation (population) of each column over blocks of rows; Chan's update, in float64."""
    n, mean, squares = 0, np.zeros(dim), np.zeros(dim)
    for block in vectors:
        shift = block.mean(axis=0) - mean
        squares += ((block - block.mean(axis=0)) ** 2).sum(axis=0) + shift**2 * n * len(block) / (n + len(block))
        mean = mean + shift * len(block) / (n + len(block))
        n += len(block)
    return mean, np.sqrt(squares / max(n, 1))


def standardisation(batches: Iterator[pa.RecordBatch], dim: int) -> dict[str, list[float]]:
    """Mean and standard deviation of the column `mean`, to seven digits.

    Float64 sums differ in their last bits with the cut into shards; seven digits do not.
    """
    blocks = (
        batch.column("mean").flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1).astype(np.float64)
        for batch in batches
        if batch.num_rows
    )
    mean, std = moments(blocks, dim)
    return {name: [float(f"{x:.7g}") for x in values] for name, values in (("mean", mean), ("std", std))}


def facts(finished: Finished) -> dict[str, Any]:
    """The extractor, and mean and standard deviation of the vectors, to float32."""
    extractor: Extractor = make("extractors", finished.config.backend, finished.config.options)
    return {**described(finished.config, extractor), **standardisation(finished.batches(["mean"]), extractor.dim)}


STAGE = Stage(
    name="pool",
    version=1,
    reads=(STORED_AUDIO, replace(CLIPS, optional=True)),
    choose_reads=choose_reads,
    writes="pooled",
    config=Config,
    run=run,
    schema=POOLED,
    backend=lambda config, extras: make("extractors", config.backend, config.options),
    facts=facts,
    help="Write one vector for each utterance or clip: the mean of the extractor's frames.",
    examples=(
        "speechprep pool --input run/utterances --out run/pooled",
        "speechprep pool --input run/clips --out run/pooled_clips",
        "speechprep pool --input run --out run/pooled_clips --set rows=clips",
    ),
)
