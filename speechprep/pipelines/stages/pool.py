"""pool: utterances -> pooled, one teacher vector for each.

Reads `utterances`. Writes `pooled`, one output shard for each input shard.
Row: id, mean list<float32> over the valid frames, mean_all over all frames of the extractor (the same vector for an
extractor without padding), n_valid. Sums are
float64, frame by frame. The manifest has `mean` and `std`: mean and standard deviation of `mean` over the corpus,
for standardising.
Rejected: undecodable audio, and `audio_too_short` for less than one frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts.schemas import POOLED
from speechprep.pipelines.backends import Extractor
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Finished, Read, Stage
from speechprep.pipelines.features import (
    ExtractorConfig,
    Sound,
    described,
    for_each_utterance,
)
from speechprep.registry import make

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class Config(ExtractorConfig):
    """Options of `pool`."""


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
        ctx, lambda row, sound: pool_utterance(extractor, row, sound), together=extractor.extract_padded_batch
    )


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
    reads=(Read("utterances", "utterances"),),
    writes="pooled",
    config=Config,
    run=run,
    schema=POOLED,
    backend=lambda config, extras: make("extractors", config.backend, config.options),
    facts=facts,
    help="Write one vector for each utterance: the mean of the extractor's frames.",
    examples=("speechprep pool --input run/utterances --out run/pooled",),
)
