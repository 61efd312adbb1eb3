"""filter: words -> words with new verdicts.

Reads `words`, shard by shard. Writes `words`: the same rows in the same shards, with `kept` and `reason` by these
thresholds. It needs no audio and no model. Unset thresholds are off, also if `align` had them on. With `refine`,
dropped rows stay dropped, with their reason. With `duplicates` it also reads the dataset of this name, and with limits
of the recording (`min_snr_db` and others) the dataset `quality`. Rows with a mark there are not kept.

Rejected: nothing.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.schemas import LATER, WORDS
from speechprep.errors import StaleArtifact
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage
from speechprep.pipelines.marks import Mark, Marked, duplicates, quality
from speechprep.pipelines.marks import failures as marked_failures
from speechprep.pipelines.marks.duplicates import Which
from speechprep.pipelines.marks.quality import LIMITS, QualityLimits
from speechprep.pipelines.thresholds import (
    COLUMNS,
    Thresholds,
    failures,
    first_failure,
)

BATCH = 1024  # rows judged and written together; no result depends on it


class Config(Thresholds, QualityLimits):
    """Options of `filter`."""

    ADDED_LATER: ClassVar[frozenset[str]] = frozenset({"duplicates", *(limit.option for limit in LIMITS)})

    refine: bool = Field(
        default=False, description="judge only the kept rows; dropped rows stay dropped, with their reason"
    )
    duplicates: Which = Field(
        "off", description="drop rows that repeat the audio, the text, or any of the two of another row; see `dedup`"
    )


def choose_reads(options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
    """`duplicates` and `quality` are inputs if an option needs them."""
    reads = [WORDS_READ]
    reads += [DUPLICATES_READ] if options.get("duplicates", "off") != "off" else []
    reads += [QUALITY_READ] if any(options.get(limit.option) is not None for limit in LIMITS) else []
    return tuple(reads)


def run(ctx: ShardContext) -> None:
    """One shard."""
    config: Config = ctx.config
    check_columns(ctx.input_schema("words"), ctx.work.inputs["words"].folder)
    marked: dict[str, Mark] = {}
    if config.duplicates != "off":
        marked |= duplicates.read(ctx.batches("duplicates", rows=BATCH), config.duplicates)
    if config.quality_limits():
        marked |= quality.read(ctx.batches("quality", rows=BATCH), config)
    for batch in ctx.batches("words", rows=BATCH):
        rows = judged(config, batch, marked)
        ctx.write(rows)
        kept = rows.column("kept")
        ctx.done(utterances=batch.num_rows, seconds=float(seconds_of(batch).sum()), kept=kept.true_count)


def judged(config: Config, batch: pa.RecordBatch, marked: Marked | None = None) -> pa.RecordBatch:
    """The rows of `words` with the verdict of these thresholds and of the marks."""
    failed = failures(config, {name: floats(batch, name) for name in COLUMNS}, batch.column("language"))
    failed |= marked_failures(marked or {}, batch.column("id"))
    reasons = pa.array([*failed, None], pa.string()).take(pa.array(first_failure(failed)))
    if config.refine:
        before = kept_of(batch)
        reasons = pc.if_else(before, reasons, batch.column("reason"))
        kept = pc.and_(before, reasons.is_null())
    else:
        kept = reasons.is_null()
    columns = {"kept": kept, "reason": reasons}
    whole = [columns[name] if name in columns else _column(batch, name) for name in WORDS.names]
    return pa.RecordBatch.from_arrays(whole, schema=WORDS)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column; nulls for a column that an earlier version did not write."""
    if name in LATER and name not in batch.schema.names:
        return pa.nulls(batch.num_rows, WORDS.field(name).type)
    return batch.column(name)


def floats(batch: pa.RecordBatch, column: str) -> NDArray[np.float32]:
    """(rows,) a column as float32, NaN for null."""
    values: NDArray[np.float32] = _column(batch, column).cast(pa.float32()).to_numpy(zero_copy_only=False)
    return values


def seconds_of(batch: pa.RecordBatch) -> NDArray[np.float64]:
    """(rows,) durations, 0 for null."""
    values: NDArray[np.float64] = batch.column("duration").cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isnan(values), 0.0, values)


def kept_of(batch: pa.RecordBatch) -> Any:
    """(rows,) the column `kept`; a row without a verdict is kept."""
    return pc.fill_null(batch.column("kept"), fill_value=True)


def check_columns(schema: pa.Schema, folder: str) -> None:
    """The dataset must have the score columns.

    Raises:
        StaleArtifact: the folder of an older version without these scores.
    """
    missing = [name for name in WORDS.names if name not in schema.names and name not in LATER]
    if missing:
        raise StaleArtifact(
            f"{folder} has no column {', '.join(missing)}: an earlier version wrote it; run align again"
        )


WORDS_READ, DUPLICATES_READ = Read("words", "words"), Read("duplicates", "duplicates")
QUALITY_READ = Read("quality", "quality")
STAGE = Stage(
    name="filter",
    version=2,
    reads=(WORDS_READ, *(replace(read, optional=True) for read in (DUPLICATES_READ, QUALITY_READ))),
    choose_reads=choose_reads,
    writes="words",
    config=Config,
    run=run,
    schema=WORDS,
    help="Judge the scores of `words` by other thresholds.",
)
