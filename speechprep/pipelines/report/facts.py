"""The numbers of a run, each from one streaming pass over its columns (constant memory)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speechprep.artifacts.run import Dataset, Run
from speechprep.artifacts.scores import figures
from speechprep.pipelines.report.histogram import Histogram
from speechprep.pipelines.report.messages import without_folders
from speechprep.tokenizers.arrays import ragged
from speechprep.tokenizers.arrays.runlength import dedup_ragged

SCORES = tuple(figures())
_EXAMPLES = 2  # of each reason
_LONGEST_RUN = 32  # frames; longer runs share the last bar


class Example(NamedTuple):
    """A rejected or dropped utterance; `audio`: its file, if a reject names one."""

    id: str
    message: str
    audio: str | None = None


@dataclass
class Loss:
    """Utterances rejected by a stage or dropped by its filter, for one reason."""

    stage: str
    code: str
    count: int = 0
    seconds: float = 0.0
    unknown: int = 0  # of `count`: utterances of unknown length
    examples: list[Example] = field(default_factory=list)  # the first ids
    kept_out: bool = False  # True: a filter's decision in `words`; False: a row of `rejects`


@dataclass
class Yield:
    """Amounts of speech: ingested, aligned, kept, and lost at each stage. All lengths in seconds."""

    utterances: int = 0
    seconds: float = 0.0
    aligned: int = 0
    aligned_seconds: float = 0.0
    kept: int = 0
    kept_seconds: float = 0.0
    has_words: bool = False
    losses: dict[tuple[str, str], Loss] = field(default_factory=dict)

    def loss(self, stage: str, code: str) -> Loss:
        """The entry of a reason, made on first use."""
        return self.losses.setdefault((stage, code), Loss(stage, code))

    @property
    def unaligned_seconds(self) -> float:
        """Seconds of utterances without a row and without a reject in `words`."""
        rejected = sum(loss.seconds for loss in self.losses.values() if loss.stage == "align" and not loss.kept_out)
        return max(self.seconds - self.aligned_seconds - rejected, 0.0) if self.has_words else 0.0


@dataclass
class Speech:
    """Distributions over utterances and words."""

    durations: Histogram = field(default_factory=Histogram)
    scores: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in SCORES})
    timings: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> int:
        """All words."""
        return sum(self.timings.values())


@dataclass
class Units:
    """Use of the codebook. `counts[u]` frames have unit u; `runs[n]` runs are n frames long (the last: or longer)."""

    counts: NDArray[np.int64]
    runs: NDArray[np.int64]
    rate: float | None
    declared: bool  # False: no manifest has the size of the codebook; the largest unit seen gives it

    @property
    def frames(self) -> int:
        """All frames."""
        return int(self.counts.sum())

    @property
    def run_count(self) -> int:
        """Number of units after run-length encoding."""
        return int(self.runs.sum())

    @property
    def dead(self) -> list[int]:
        """Units without a frame."""
        return [int(unit) for unit in np.flatnonzero(self.counts == 0)]

    @property
    def perplexity(self) -> float:
        """Perplexity: exponential of the entropy of the unit frequencies."""
        if not self.frames:
            return 0.0
        share = self.counts[self.counts > 0] / self.frames
        return math.exp(float(-(share * np.log(share)).sum()))


@dataclass
class Kind:
    """Rows of one token kind."""

    rows: int = 0
    tokens: int = 0
    modality: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)  # of the spans of each modality


@dataclass
class Packed:
    """Content of the training shards: tokens of each modality id, and padding."""

    rows: int = 0
    modality: Counter[int] = field(default_factory=Counter)
    padding: int = 0

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(self.modality.values())

    @property
    def fill(self) -> float:
        """Share of the positions with a token."""
        return self.tokens / (self.tokens + self.padding) if self.tokens + self.padding else 0.0


@dataclass
class Facts:
    """All numbers of a run; None for absent datasets."""

    yields: Yield
    speech: Speech
    units: Units | None
    tokens: dict[str, Kind] | None
    packed: Packed | None


def gather(run: Run) -> Facts:
    """Stream every dataset of the run once (the utterances twice where something was rejected)."""
    yields, speech = Yield(), Speech()
    utterances, words = run.get("utterances"), run.get("words")
    if utterances:
        for batch in utterances.batches(["duration"]):
            seconds = _floats(batch, "duration")
            yields.utterances += len(seconds)
            yields.seconds += float(np.nansum(seconds))
            speech.durations.add(seconds)
    if words:
        yields.has_words = True
        _read_words(words, yields, speech)
    for folder in run.datasets.values():
        _read_rejects(folder, utterances, yields)
    units, tokens, packed = run.get("units"), run.get("tokens"), run.get("packed")
    return Facts(
        yields,
        speech,
        read_units(units, run.get("codebook")) if units else None,
        read_tokens(tokens) if tokens else None,
        read_packed(packed) if packed else None,
    )


def _floats(batch: pa.RecordBatch, column: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = batch.column(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _read_words(words: Dataset, yields: Yield, speech: Speech) -> None:
    columns = ["id", "duration", "kept", "reason", "words.list.element.timing", *SCORES]
    for batch in words.batches(columns):
        seconds, kept = _floats(batch, "duration"), batch.column("kept").to_numpy(zero_copy_only=False).astype(np.bool_)
        yields.aligned += batch.num_rows
        yields.aligned_seconds += float(seconds.sum())
        yields.kept += int(kept.sum())
        yields.kept_seconds += float(seconds[kept].sum())
        for name, values in speech.scores.items():
            values.add(_floats(batch, name))
        timings = pc.value_counts(pc.struct_field(batch.column("words").flatten(), "timing"))
        speech.timings.update({str(entry["values"]): entry["counts"] for entry in timings.to_pylist()})
        for row in np.flatnonzero(~kept):
            loss = yields.loss("align", batch.column("reason")[row].as_py() or "not kept")
            ident = batch.column("id")[row].as_py()
            _count(loss, Example(ident, "a filter of this stage decided"), float(seconds[row]))
            loss.kept_out = True


def _count(loss: Loss, example: Example, seconds: float | None) -> None:
    if len(loss.examples) < _EXAMPLES or example < loss.examples[-1]:  # the first ids: independent of the shards
        loss.examples = sorted([*loss.examples, example])[:_EXAMPLES]
    loss.count += 1
    loss.seconds += seconds or 0.0
    loss.unknown += seconds is None


def _read_rejects(folder: Dataset, utterances: Dataset | None, yields: Yield) -> None:
    """Count the rejects of a stage; their lengths come from the utterances shard of the same name."""
    for shard in folder.reject_shards:
        columns = ["id", "stage", "code", "message", "audio"]
        rows = [row for batch in folder.rejects(columns, shard) for row in batch.to_pylist()]
        if not rows:
            continue
        lengths = {}
        if utterances and folder.kind != "utterances":
            lengths = _lengths(utterances, {row["id"] for row in rows}, shard)
        for row in rows:
            loss = yields.loss(row["stage"] or folder.kind, row["code"] or "unknown")
            message = without_folders(row["message"] or "", row["audio"])
            _count(loss, Example(row["id"] or "", message, row["audio"]), lengths.get(row["id"]))


def _lengths(utterances: Dataset, wanted: set[str | None], shard: str) -> dict[str, float]:
    """Seconds of the given ids: from the shard of this name, then from the other shards."""
    seconds: dict[str, float] = {}
    for name in sorted(utterances.shards, key=lambda name: (name != shard, name)):
        missing = sorted(ident for ident in wanted if ident is not None and ident not in seconds)
        if not missing:
            break
        for batch in utterances.batches(["id", "duration"], name):
            hit = batch.filter(pc.is_in(batch.column("id"), pa.array(missing, pa.string())))
            seconds.update(zip(hit.column("id").to_pylist(), hit.column("duration").to_pylist(), strict=True))
    return seconds


def read_units(units: Dataset, codebook: Dataset | None) -> Units:
    """Histogram of the units and of the lengths of their runs."""
    facts = {**(codebook.extra if codebook else {}), **units.extra}
    declared = int(facts.get("k") or 0)
    counts, runs = np.zeros(declared, np.int64), np.zeros(_LONGEST_RUN + 1, np.int64)
    for batch in units.batches(["units"]):
        values, offsets = ragged.of_arrow(batch.column("units"))
        flat = np.asarray(values)
        if not len(flat):
            continue
        totals = np.bincount(flat, minlength=len(counts))
        totals[: len(counts)] += counts
        counts = totals
        _, lengths, _ = dedup_ragged(flat, offsets)
        runs += np.bincount(np.minimum(lengths, _LONGEST_RUN), minlength=_LONGEST_RUN + 1)
    return Units(counts, runs, frame_rate(facts.get("grid")), declared > 0)


def frame_rate(grid: Any) -> float | None:
    """Frames per second of the grid in a manifest."""
    if not isinstance(grid, dict) or not grid.get("stride"):
        return None
    return float(grid["sample_rate"]) / float(grid["stride"])


def read_tokens(tokens: Dataset) -> dict[str, Kind]:
    """Rows, tokens and seconds of each kind; tokens outside all runs are markers."""
    kinds: dict[str, Kind] = {}
    parts = ["kind", "input_ids", *(f"runs.list.element.{name}" for name in ("modality", "start", "stop", "t0", "t1"))]
    for batch in tokens.batches(parts):
        lengths = batch.column("input_ids").value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        names = np.asarray(batch.column("kind").to_pylist(), object)
        parents = pc.list_parent_indices(batch.column("runs")).to_numpy(zero_copy_only=False)
        runs = batch.column("runs").flatten()
        modality = np.asarray(pc.struct_field(runs, "modality").to_pylist(), object)
        start, stop, t0, t1 = (
            pc.struct_field(runs, name).cast(pa.float64()).to_numpy(zero_copy_only=False)
            for name in ("start", "stop", "t0", "t1")
        )
        for name in sorted(set(names)):
            kind, rows_of_kind = kinds.setdefault(name, Kind()), names == name
            kind.rows += int(rows_of_kind.sum())
            kind.tokens += int(lengths[rows_of_kind].sum())
            of_kind = rows_of_kind[parents] if len(parents) else np.zeros(0, bool)
            for which in sorted(set(modality[of_kind])):
                these = of_kind & (modality == which)
                kind.modality[which] += int((stop[these] - start[these]).sum())
                kind.seconds[which] = kind.seconds.get(which, 0.0) + float(np.nansum(t1[these] - t0[these]))
    for kind in kinds.values():
        kind.modality["marker"] = kind.tokens - sum(kind.modality.values())
    return kinds


def read_packed(packed: Dataset) -> Packed:
    """Tokens by modality id and padding of the training shards."""
    facts = Packed()
    for batch in packed.batches(["document_ids", "modality_ids"]):
        facts.rows += batch.num_rows
        held = batch.column("document_ids").flatten().to_numpy(zero_copy_only=False) >= 0
        modality = batch.column("modality_ids").flatten().to_numpy(zero_copy_only=False)[held]
        counts = np.bincount(modality)
        facts.modality.update({int(code): int(counts[code]) for code in np.flatnonzero(counts)})
        facts.padding += int(len(held) - held.sum())
    return facts
