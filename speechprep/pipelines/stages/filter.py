"""filter: words -> words with new verdicts.

Reads `words`, shard by shard. Writes `words`: the same rows in the same shards, with `kept` and `reason` by these
thresholds. It needs no audio and no model. Unset thresholds are off, also if `align` had them on. With `refine`,
dropped rows stay dropped, with their reason. With `duplicates` it also reads the dataset of this name, and rows with
a mark there are not kept.

Rejected: nothing.

`survey` and `sweep` serve `speechprep filter`: hours kept by thresholds, without writing anything.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import open_dataset
from speechprep.artifacts.schemas import LATER, WORDS
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines import duplicate_marks
from speechprep.pipelines.duplicate_marks import Marked, Which
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Read, Stage
from speechprep.pipelines.thresholds import (
    COLUMNS,
    OTHER_LANGUAGE,
    Thresholds,
    failures,
    find_check,
    first_failure,
)

BATCH = 1024  # rows judged and written together; no result depends on it
VIEW_BATCH = 1 << 16
SWEEP_VALUES = 11
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class Config(Thresholds):
    """Options of `filter`."""

    ADDED_LATER: ClassVar[frozenset[str]] = frozenset({"duplicates"})

    refine: bool = Field(
        default=False, description="judge only the kept rows; dropped rows stay dropped, with their reason"
    )
    duplicates: Which = Field(
        "off", description="drop rows that repeat the audio, the text, or any of the two of another row; see `dedup`"
    )


def choose_reads(options: Mapping[str, Any], kinds: Container[str]) -> tuple[Read, ...]:
    """`duplicates` is an input if the option of this name is on."""
    return (WORDS_READ, DUPLICATES_READ) if options.get("duplicates", "off") != "off" else (WORDS_READ,)


def run(ctx: ShardContext) -> None:
    """One shard."""
    config: Config = ctx.config
    check_columns(ctx.input_schema("words"), ctx.work.inputs["words"].folder)
    marked: Marked = {}
    if config.duplicates != "off":
        marked = duplicate_marks.read(ctx.batches("duplicates", rows=BATCH), config.duplicates)
    for batch in ctx.batches("words", rows=BATCH):
        rows = judged(config, batch, marked)
        ctx.write(rows)
        kept = rows.column("kept")
        ctx.done(utterances=batch.num_rows, seconds=float(seconds_of(batch).sum()), kept=kept.true_count)


def judged(config: Config, batch: pa.RecordBatch, marked: Marked | None = None) -> pa.RecordBatch:
    """The rows of `words` with the verdict of these thresholds and of the marks of duplicates."""
    failed = failures(config, {name: floats(batch, name) for name in COLUMNS}, batch.column("language"))
    failed |= duplicate_marks.failures(marked or {}, batch.column("id"))
    reasons = pa.array([*failed, None], pa.string()).take(pa.array(first_failure(failed)))
    if config.refine:
        before = _kept(batch)
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


def _kept(batch: pa.RecordBatch) -> Any:
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


# -- the view ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """The score columns of a dataset: (rows,) each, NaN where there is no value; the others as they stand.

    `duplicates`: reason -> (rows,) True for duplicates.
    """

    seconds: NDArray[np.float64]
    scores: dict[str, NDArray[np.float32]]
    language: pa.ChunkedArray
    kept: NDArray[np.bool_]
    reason: pa.ChunkedArray
    duplicates: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def words_folder(source: str) -> str:
    """The `words` dataset of a folder: itself, or `words` in a run folder.

    Raises:
        StaleArtifact: there is none, or it is not finished.
    """
    for folder in (source, storage.join(source, "words")):
        recorded = manifest.find(folder)
        if recorded is not None and recorded.kind == "words":
            return folder
    raise StaleArtifact(f"{source}: no finished words here; give a run folder or a folder that align or filter wrote")


def load(folder: str, marked: Marked | None = None) -> Scored:
    """The scores of a `words` dataset; texts and word times are not read.

    Args:
        folder: the dataset.
        marked: ids of duplicates by reason; see `duplicate_marks`.

    Raises:
        StaleArtifact: the dataset of a version without the scores.
    """
    marked = marked or {}
    duplicates: dict[str, list[NDArray[np.bool_]]] = {reason: [np.zeros(0, np.bool_)] for reason in marked}
    names = [*COLUMNS, "language", "kept", "reason", *(["id"] if marked else [])]
    seconds, kept = [np.zeros(0)], [np.zeros(0, np.bool_)]
    strings: dict[str, list[pa.Array]] = {"language": [], "reason": []}
    scores: dict[str, list[NDArray[np.float32]]] = {name: [np.zeros(0, np.float32)] for name in COLUMNS}
    words = open_dataset(folder)
    if words.schema is not None:
        check_columns(words.schema, folder)
        names = [name for name in names if name in words.schema.names]
    for batch in words.batches(names, rows=VIEW_BATCH):
        seconds.append(seconds_of(batch))
        kept.append(_kept(batch).to_numpy(zero_copy_only=False).astype(np.bool_))
        for name, columns in strings.items():
            columns.append(batch.column(name))
        if marked:
            for reason, mask in duplicate_marks.failures(marked, batch.column("id")).items():
                duplicates[reason].append(mask)
        for name, parts in scores.items():
            parts.append(floats(batch, name))
    return Scored(
        np.concatenate(seconds),
        {name: np.concatenate(parts) for name, parts in scores.items()},
        pa.chunked_array(strings["language"], pa.string()),
        np.concatenate(kept),
        pa.chunked_array(strings["reason"], pa.string()),
        {reason: np.concatenate(parts) for reason, parts in duplicates.items()},
    )


def survey(scored: Scored, config: Config) -> dict[str, Any]:
    """Rows and seconds kept by thresholds, and lost by each of them.

    Returns:
        rows, seconds, kept_rows, kept_seconds, reasons: [{reason, option, limit, rows, seconds, alone_rows,
        alone_seconds, unscored_rows}]. A row counts for its first reason. `alone`: rows with this reason alone, back
        without it. `unscored`: rows without the score; they pass.
    """
    failed = failures(config, scored.scores, scored.language) | scored.duplicates
    first, times = first_failure(failed), sum(f.astype(np.int8) for f in failed.values())
    limits: dict[str, tuple[str, float | str, int]] = {
        check.reason: (check.option, limit, int(np.isnan(scored.scores[check.column]).sum()))
        for check, limit in config.limits()
    }
    limits[OTHER_LANGUAGE] = ("language", ", ".join(config.languages()), scored.language.null_count)
    limits |= dict.fromkeys(scored.duplicates, ("duplicates", config.duplicates, 0))
    open_rows = scored.kept if config.refine else np.ones(len(scored.kept), np.bool_)
    reasons = _earlier(scored, ~open_rows)
    for number, (reason, holds) in enumerate(failed.items()):
        option, limit, unscored = limits.get(reason, (None, None, 0))
        here = _count(scored, (first == number) & open_rows)
        alone = _count(scored, holds & (times == 1) & open_rows, "alone_")
        named = {"reason": reason, "option": option, "limit": limit}
        reasons.append({**named, **here, **alone, "unscored_rows": unscored})
    kept = _count(scored, (first == len(failed)) & open_rows, "kept_")
    return {**_count(scored, np.ones(len(first), np.bool_)), **kept, "reasons": reasons}


def stored(scored: Scored) -> dict[str, Any]:
    """The verdict in the dataset, in the form of `survey`, with the quantiles of each score."""
    reasons = sorted(_earlier(scored, ~scored.kept), key=lambda r: (-r["seconds"], r["reason"]))
    return {
        **_count(scored, np.ones(len(scored.kept), np.bool_)),
        **_count(scored, scored.kept, "kept_"),
        "reasons": reasons,
        "quantiles": {name: _quantiles(values) for name, values in scored.scores.items()},
    }


def _quantiles(values: NDArray[np.float32]) -> dict[str, float]:
    """Quantiles of the values that are not NaN, by level; empty if all are NaN."""
    numbers = values[~np.isnan(values)]
    if not len(numbers):
        return {}
    return {f"{q:g}": float(v) for q, v in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True)}


def _earlier(scored: Scored, rows: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Rows and seconds by their reason in the dataset."""
    if not rows.any():
        return []
    codes = scored.reason.fill_null("not kept").combine_chunks().dictionary_encode()
    numbers, names = codes.indices.to_numpy(zero_copy_only=False), codes.dictionary.to_pylist()
    masks = ((name, rows & (numbers == i)) for i, name in enumerate(names))
    return [{"reason": name, "option": None, "limit": None, **_count(scored, has)} for name, has in masks if has.any()]


def _count(scored: Scored, rows: NDArray[np.bool_], name: str = "") -> dict[str, Any]:
    return {f"{name}rows": int(rows.sum()), f"{name}seconds": float(scored.seconds[rows].sum())}


def parse_sweep(text: str) -> tuple[str, list[float]]:
    """`NAME=FROM:TO` or `NAME=FROM:TO:STEP` as an option and its values; NAME is an option or a column.

    Raises:
        ConfigError: it is not of this form, or names no threshold.
    """
    name, equals, span = text.partition("=")
    try:
        ends = [float(part) for part in span.split(":")]
    except ValueError:
        ends = []
    if not equals or len(ends) not in (2, 3) or not np.isfinite(ends).all():
        raise ConfigError(f"--sweep {text!r}: write it as SCORE=FROM:TO or SCORE=FROM:TO:STEP, for example score=-6:-1")
    option = find_check(name).option
    if len(ends) == 2:
        count, step = SWEEP_VALUES, (ends[1] - ends[0]) / (SWEEP_VALUES - 1)
    elif ends[2] == 0 or not 0 <= (ends[1] - ends[0]) / ends[2] <= 1000:
        raise ConfigError(f"--sweep {text!r}: a step of {ends[2]:g} does not lead from {ends[0]:g} to {ends[1]:g}")
    else:
        count, step = int((ends[1] - ends[0]) / ends[2] + 1e-9) + 1, ends[2]
    return option, [round(ends[0] + i * step, 9) for i in range(count)]


def sweep(scored: Scored, config: Config, option: str, values: list[float]) -> list[dict[str, Any]]:
    """Rows and seconds kept at each value of one threshold, with the others as set.

    Returns:
        [{value, kept_rows, kept_seconds, lost: {reason: seconds}}]

    Raises:
        ConfigError: an invalid value of the option.
    """
    rows = []
    for value in values:
        result = survey(scored, STAGE.configure({**config.model_dump(), option: value}))  # type: ignore[arg-type]
        lost = {r["reason"]: r["seconds"] for r in result["reasons"]}
        rows.append({"value": value, **{k: result[k] for k in ("kept_rows", "kept_seconds")}, "lost": lost})
    return rows


WORDS_READ, DUPLICATES_READ = Read("words", "words"), Read("duplicates", "duplicates")
STAGE = Stage(
    name="filter",
    version=2,
    reads=(WORDS_READ, Read("duplicates", "duplicates", optional=True)),
    choose_reads=choose_reads,
    writes="words",
    config=Config,
    run=run,
    schema=WORDS,
    help="Judge the scores of `words` by other thresholds.",
)
