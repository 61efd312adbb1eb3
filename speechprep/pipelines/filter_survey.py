"""Hours kept by the thresholds of `filter`, for `speechprep filter`: reads the scores and writes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speechprep.artifacts import manifest, storage
from speechprep.artifacts.run import open_dataset
from speechprep.errors import ConfigError, StaleArtifact
from speechprep.pipelines.marks import Mark, Marked, beside, duplicates, quality, unscored
from speechprep.pipelines.marks import failures as marked_failures
from speechprep.pipelines.stages.filter import STAGE, Config, check_columns, floats, kept_of, seconds_of
from speechprep.pipelines.thresholds import COLUMNS, OTHER_LANGUAGE, failures, find_check, first_failure

VIEW_BATCH = 1 << 16
SWEEP_VALUES = 11
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Scored:
    """The score columns of a dataset: (rows,) each, NaN where there is no value; the others as they stand.

    `marked`: marks of other datasets by reason, `marks`: (rows,) True where one holds, `unscored`: rows without a mark
    because they were not judged.
    """

    seconds: NDArray[np.float64]
    scores: dict[str, NDArray[np.float32]]
    language: pa.ChunkedArray
    kept: NDArray[np.bool_]
    reason: pa.ChunkedArray
    marked: Marked = field(default_factory=dict)
    marks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    unscored: dict[str, int] = field(default_factory=dict)


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


def read_marks(source: str, words: str, config: Config) -> tuple[Marked, list[str]]:
    """The marks that the options of `filter` need, and the folders of their datasets.

    Args:
        source: a run folder, or a dataset of words.
        words: the dataset of words.
        config: options.

    Raises:
        StaleArtifact: a dataset is absent, or not finished.
    """
    marked: dict[str, Mark] = {}
    folders: list[str] = []
    if config.duplicates != "off":
        folders.append(beside(source, words, "duplicates", "dedup"))
        marked |= duplicates.read(open_dataset(folders[-1]).batches(rows=VIEW_BATCH), config.duplicates)
    if config.quality_limits():
        folders.append(beside(source, words, "quality", "quality"))
        marked |= quality.read(open_dataset(folders[-1]).batches(rows=VIEW_BATCH), config)
    return marked, folders


def load(folder: str, marked: Marked | None = None) -> Scored:
    """The scores of a `words` dataset; texts and word times are not read.

    Args:
        folder: the dataset.
        marked: marks by reason; see `read_marks`.

    Raises:
        StaleArtifact: the dataset of a version without the scores.
    """
    marked = marked or {}
    marks: dict[str, list[NDArray[np.bool_]]] = {reason: [np.zeros(0, np.bool_)] for reason in marked}
    missing: Counter[str] = Counter()
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
        kept.append(kept_of(batch).to_numpy(zero_copy_only=False).astype(np.bool_))
        for name, columns in strings.items():
            columns.append(batch.column(name))
        if marked:
            for reason, mask in marked_failures(marked, batch.column("id")).items():
                marks[reason].append(mask)
            missing.update(unscored(marked, batch.column("id")))
        for name, parts in scores.items():
            parts.append(floats(batch, name))
    return Scored(
        np.concatenate(seconds),
        {name: np.concatenate(parts) for name, parts in scores.items()},
        pa.chunked_array(strings["language"], pa.string()),
        np.concatenate(kept),
        pa.chunked_array(strings["reason"], pa.string()),
        marked,
        {reason: np.concatenate(parts) for reason, parts in marks.items()},
        dict(missing),
    )


def survey(scored: Scored, config: Config) -> dict[str, Any]:
    """Rows and seconds kept by thresholds, and lost by each of them.

    Returns:
        rows, seconds, kept_rows, kept_seconds, reasons: [{reason, option, limit, rows, seconds, alone_rows,
        alone_seconds, unscored_rows}]. A row counts for its first reason. `alone`: rows with this reason alone, back
        without it. `unscored`: rows without the score; they pass.
    """
    failed = failures(config, scored.scores, scored.language) | scored.marks
    first, times = first_failure(failed), sum(f.astype(np.int8) for f in failed.values())
    limits: dict[str, tuple[str, float | str, int]] = {
        check.reason: (check.option, limit, int(np.isnan(scored.scores[check.column]).sum()))
        for check, limit in config.limits()
    }
    limits[OTHER_LANGUAGE] = ("language", ", ".join(config.languages()), scored.language.null_count)
    limits |= {r: (m.option, m.limit, scored.unscored.get(r, 0)) for r, m in scored.marked.items()}
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
