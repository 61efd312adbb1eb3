"""Recomputation of counters, seconds and licences of each task, from its rows, its rejects and its inputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechprep.artifacts import storage
from speechprep.artifacts.codebook import Codebook
from speechprep.artifacts.manifest import Shard
from speechprep.artifacts.run import Dataset
from speechprep.artifacts.timebase import FrameGrid
from speechprep.options import checked
from speechprep.pipelines.inspect.amounts_common import (
    ROWS,
    Amounts,
    batches_of,
    ids_of,
    licences_of,
    list_items,
    rejected_counts,
    source_seconds,
    total,
)
from speechprep.pipelines.inspect.folders import CheckedFolder, disagreement
from speechprep.pipelines.inspect.unverified import is_unverified
from speechprep.tokenizers.packing import GROUPS, group_of


def task_problems(folder: CheckedFolder, task: list[Shard]) -> Iterator[str]:
    """Disagreements of the shards of a task with its rows, rejects and inputs."""
    name = folder.manifest.made_of.get("stage", "")
    first, *others = task
    yield from _compare(first, "counters", first.counters, rejected_counts(folder, task), "rejected")
    for shard in others:
        for field_name in ("counters", "licences", "seconds"):
            if getattr(shard, field_name):
                yield disagreement(f"{shard.name}: {field_name}", getattr(shard, field_name), None)
    if name not in STAGES:
        return
    amounts = STAGES[name](folder, task)
    for counter, value in sorted(first.counters.items()):
        expected = counter in amounts.counters or counter.split(".")[0] == "rejected"
        if not expected and not is_unverified(name, f"counters.{counter}"):
            yield disagreement(f"{first.name}: counters.{counter}", value, None)
    yield from _compare(first, "counters", first.counters, amounts.counters)
    if amounts.seconds is not None and not math.isclose(first.seconds, amounts.seconds, rel_tol=1e-9, abs_tol=1e-6):
        yield disagreement(f"{first.name}: seconds", first.seconds, amounts.seconds)
    if first.licences != amounts.licences:
        yield disagreement(f"{first.name}: licences", first.licences, amounts.licences)


def _compare(
    shard: Shard, at: str, stored: dict[str, float], recomputed: dict[str, float | None], prefix: str | None = None
) -> Iterator[str]:
    """Disagreements of counters. An absent counter is 0: a task without records counts nothing."""
    names = set(recomputed) | ({n for n in stored if n.split(".")[0] == prefix} if prefix else set())
    for name in sorted(names):
        value = recomputed.get(name, 0)
        if value is not None and stored.get(name, 0) != value:
            yield disagreement(f"{shard.name}: {at}.{name}", stored.get(name), value)


def _ingest(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    amounts = Amounts({"utterances": 0}, 0.0, licences_of(folder, task))
    if "with_transcript" in folder.manifest.counters:  # absent from manifests of earlier versions
        texts = [batch.column("text") for batch in batches_of(folder.dataset, task, ["text"])]
        amounts.counters["with_transcript"] = sum(len(text) - text.null_count for text in texts)
    for batch in batches_of(folder.dataset, task, ["duration"]):
        amounts.counters["utterances"] = (amounts.counters["utterances"] or 0) + batch.num_rows
        amounts.seconds = (amounts.seconds or 0.0) + total(batch.column("duration"))
    return amounts


def _align(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(utterances=0, words=0, interpolated=0, kept=0)
    for batch in batches_of(folder.dataset, task, ["kept", "words.list.element.timing"]):
        timings = pc.struct_field(batch.column("words").flatten(), "timing")
        interpolated = int(total(pc.equal(timings, "interpolated")))
        counts.update(
            utterances=batch.num_rows,
            words=len(timings),
            interpolated=interpolated,
            kept=batch.column("kept").true_count,
        )
    return Amounts(dict(counts), source_seconds(folder, task))


def _filter(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(utterances=0, kept=0)
    seconds = 0.0
    for batch in batches_of(folder.dataset, task, ["kept", "duration"]):
        counts.update(utterances=batch.num_rows, kept=batch.column("kept").true_count)
        durations = batch.column("duration").to_numpy(zero_copy_only=False)
        seconds += float(np.nansum(durations))
    return Amounts(dict(counts), seconds)


def _sample(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(frames_kept=0, frames_kept_silent=0)
    for batch in batches_of(folder.dataset, task, ["frames", "silent"]):
        silent = int(total(batch.column("silent").flatten()))
        counts.update(frames_kept=list_items(batch, "frames"), frames_kept_silent=silent)
    utterances, seconds = _selected(folder, task)
    return Amounts({**counts, "utterances": utterances}, seconds)


def _selected(folder: CheckedFolder, task: list[Shard]) -> tuple[int | None, float | None]:
    """Utterances selected by the sampling plan and not rejected, and their seconds; some have no kept frame."""
    from speechprep.pipelines.stages.sample import Config, SamplingPlan, frames_by_group

    utterances = folder.input("utterances")
    if utterances is None:
        return None, None
    config: Config = checked(Config, folder.config, "sample")
    grid = FrameGrid(**folder.manifest.extra["grid"])
    batches = utterances.batches([*config.columns, "duration"], rows=ROWS) if config.columns else iter(())
    frames = frames_by_group(batches, config.columns, utterances.manifest.seconds, grid)
    plan = SamplingPlan.make(config, folder.manifest.made_of.get("seed", 0), frames)
    rejected = _rejected_ids(folder, task)
    count, seconds = 0, 0.0
    for batch in batches_of(utterances, task, ["id", *config.columns, "duration"]):
        for row in batch.to_pylist():
            if row["id"] not in rejected and plan.wants(row):
                count += 1
                seconds += row["duration"] or 0.0
    return count, seconds


def _rejected_ids(folder: CheckedFolder, task: list[Shard]) -> set[str]:
    names = {folder.rejects_name(shard) for shard in task if shard.rejects}
    return {
        row_id for name in names for b in folder.dataset.rejects(["id"], name) for row_id in b.column(0).to_pylist()
    }


def _units(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(utterances=0, frames=0)
    for batch in batches_of(folder.dataset, task, ["units"]):
        counts.update(utterances=batch.num_rows, frames=list_items(batch, "units"))
    return Amounts(dict(counts), source_seconds(folder, task))


def _clips(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(clips=0, unpaired=0)
    for batch in batches_of(folder.dataset, task, ["partner"]):
        counts.update(clips=batch.num_rows, unpaired=batch.column("partner").null_count)
    paired = counts["clips"] - counts["unpaired"]
    words = folder.input("words")
    if words is None:
        return Amounts({**counts, "paired": paired, "utterances": None, "not_kept": None}, None)
    read, seconds = Counter(utterances=0, not_kept=0), 0.0
    for batch in words.batches(["kept", "duration"], rows=ROWS):
        read.update(utterances=batch.num_rows, not_kept=batch.column("kept").false_count)
        seconds += float(np.nansum(batch.column("duration").to_numpy(zero_copy_only=False)))
    return Amounts({**counts, "paired": paired, **read}, seconds)


def _pool(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    role = "clips" if "clips" in folder.manifest.made_of.get("inputs", {}) else "utterances"
    return Amounts({"utterances": len(ids_of(folder.dataset, task))}, source_seconds(folder, task, role))


def _vectors(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    pooled = folder.input("pooled")
    rows = None if pooled is None else pooled.manifest.rows
    return Amounts({"utterances": rows}, None if pooled is None else pooled.manifest.seconds)


def _cluster(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    if not storage.is_local(folder.dataset.uri):
        return Amounts({"frames": None, "utterances": 0})
    return Amounts({"frames": Codebook.load(folder.dataset.uri).frames_used, "utterances": 0})


def _import_codebook(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    return Amounts({"utterances": 0})


def _subword(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    units, texts = folder.input("units"), folder.input("utterances")
    if units is None:
        return Amounts({"utterances": texts.rows if texts is not None else None, "frames": None})
    counts: Counter[str] = Counter(utterances=0, frames=0)
    for batch in units.batches(["units"], rows=ROWS):
        counts.update(utterances=batch.num_rows, frames=list_items(batch, "units"))
    return Amounts(dict(counts))


def _wordpiece(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    inputs = [source for source in (folder.input("words"), folder.input("utterances")) if source is not None]
    missing = bool(folder.manifest.made_of.get("inputs")) and not inputs
    return Amounts({"utterances": None if missing else sum(source.rows for source in inputs)})


def _interleave(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(rows=0, tokens=0)
    for batch in batches_of(folder.dataset, task, ["input_ids"]):
        counts.update(rows=batch.num_rows, tokens=list_items(batch, "input_ids"))
    joined: dict[str, float | None] = dict.fromkeys(
        ("utterances", "words", "without_words", "without_units", "words_not_kept")
    )
    if not folder.absent("utterances") and folder.input("utterances") is not None:
        joined |= _texts_alone(folder.input("utterances"), task)
    elif not folder.absent("units", "words"):
        joined |= _joined(folder.input("units"), folder.input("words"), task)
    return Amounts({**counts, **joined})


def _texts_alone(utterances: Dataset | None, task: list[Shard]) -> dict[str, int]:
    """Counts of text without audio, as in the stage `interleave`."""
    counts: Counter[str] = Counter(utterances=0, words=0, without_words=0, without_units=0, words_not_kept=0)
    for batch in batches_of(utterances, task, ["text"]) if utterances is not None else ():
        words = sum(len(text.split()) for text in batch.column("text").to_pylist() if text)
        counts.update(utterances=batch.num_rows, without_units=batch.num_rows, words=words)
    return dict(counts)


def _joined(units: Dataset | None, words: Dataset | None, task: list[Shard]) -> dict[str, int]:
    """Counts of the join of words and units by id, as in the stage `interleave`."""
    word_ids = ids_of(words, task) if words is not None else pa.chunked_array([], pa.string())
    unit_ids = ids_of(units, task) if units is not None else pa.chunked_array([], pa.string())
    counts: Counter[str] = Counter(utterances=0, words=0, without_words=0, without_units=0, words_not_kept=0)
    for batch in batches_of(units, task, ["id", "units"]) if units is not None else ():
        speech = np.asarray(pc.greater(pc.fill_null(pc.list_value_length(batch.column("units")), 0), 0))
        has_words = np.asarray(pc.is_in(batch.column("id"), value_set=word_ids))
        counts.update(
            utterances=batch.num_rows,
            without_words=int((speech & ~has_words).sum()),
            without_units=int((~speech).sum()),
        )
    for batch in batches_of(words, task, ["id", "kept", "words.list.element.text"]) if words is not None else ():
        alone = int((~np.asarray(pc.is_in(batch.column("id"), value_set=unit_ids))).sum())
        lengths = np.asarray(pc.fill_null(pc.list_value_length(batch.column("words")), 0))
        kept = np.asarray(pc.fill_null(batch.column("kept"), fill_value=True))
        counts.update(
            utterances=alone,
            without_units=alone,
            words=int(lengths[kept].sum()),
            words_not_kept=int((~kept & (lengths > 0)).sum()),
        )
    return dict(counts)


def _pack(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(rows=0, tokens=0, padding=0)
    groups = np.zeros(len(GROUPS), np.int64)
    for batch in batches_of(folder.dataset, task, ["document_ids", "ids"]):
        documents = np.asarray(batch.column("document_ids").flatten())
        parents = np.asarray(pc.list_parent_indices(batch.column("document_ids")))
        first = np.asarray(batch.column("ids").offsets)[:-1] - batch.column("ids").offsets[0].as_py()
        names = batch.column("ids").flatten().to_pylist()
        group = np.array([group_of(name.rpartition("#")[2]) for name in names], np.int64)
        used = documents >= 0
        groups += np.bincount(group[first[parents[used]] + documents[used]], minlength=len(GROUPS))
        counts.update(rows=batch.num_rows, tokens=int(used.sum()), padding=int((~used).sum()))
    by_group = {f"tokens.{name}": int(n) for name, n in zip(GROUPS, groups, strict=True)}
    return Amounts({"utterances": 0, **counts, **by_group, **_documents(folder)})


def _documents(folder: CheckedFolder) -> dict[str, float | None]:
    tokens = folder.input("tokens")
    if tokens is None:
        return {"documents": None, "documents_tokens": None}
    counts: Counter[str] = Counter(documents=0, documents_tokens=0)
    for batch in tokens.batches(["input_ids"], rows=ROWS):
        counts.update(documents=batch.num_rows, documents_tokens=list_items(batch, "input_ids"))
    return dict(counts)


def _index(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    """The windows of an utterance are adjacent rows, and the last one ends with the utterance."""
    count, seconds, id, end = 0, 0.0, None, 0.0
    for batch in folder.dataset.batches(["id", "t1"], rows=ROWS):
        for row_id, t1 in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if row_id != id:
                count, seconds, id = count + 1, seconds + end, row_id
            end = t1 or 0.0
    utterances, rejected = folder.input("utterances"), rejected_counts(folder, task)["rejected"] or 0
    undescribed = None if utterances is None else utterances.manifest.rows - count - rejected
    return Amounts({"utterances": count, "undescribed": undescribed}, seconds + end)


def _images(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    counts: Counter[str] = Counter(utterances=0, captions=0)
    for batch in batches_of(folder.dataset, task, ["captions"]):
        counts.update(utterances=batch.num_rows, captions=list_items(batch, "captions"))
    return Amounts(dict(counts), 0.0, licences_of(folder, task))


def _quality(folder: CheckedFolder, task: list[Shard]) -> Amounts:
    return Amounts({"utterances": len(ids_of(folder.dataset, task))}, source_seconds(folder, task))


STAGES: dict[str, Callable[[CheckedFolder, list[Shard]], Amounts]] = {
    "ingest": _ingest,
    "align": _align,
    "filter": _filter,
    "quality": _quality,
    "sample": _sample,
    "cluster": _cluster,
    "import_codebook": _import_codebook,
    "units": _units,
    "subword": _subword,
    "wordpiece": _wordpiece,
    "interleave": _interleave,
    "pack": _pack,
    "clips": _clips,
    "pool": _pool,
    "vectors": _vectors,
    "index": _index,
    "images": _images,
}
"""Stage -> recomputation of the amounts of one task."""
