"""Rows of an export: utterances of a run with their words, units and verdicts, joined by id, shard by shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from speechprep.artifacts.run import Dataset, Run
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import StaleArtifact
from speechprep.tokenizers.arrays.runlength import dedup

TIERS = ("segments", "words", "units")
NOT_ALIGNED = "not_aligned"  # an utterance without a row in `words`
NO_AUDIO = "no_audio"  # text without audio
_UTTERANCE = (
    "id", "audio", "offset", "duration", "sample_rate", "text", "speaker", "language", "split", "licence", "corpus",
    "words",
)  # fmt: skip
_AS_STORED = ("id", "audio", "sample_rate", "speaker", "split", "licence", "corpus")
_WORDS = ("id", "text", "words", "language", "kept", "reason")


class Span(NamedTuple):
    """A label with its start and end in seconds."""

    start: float
    end: float
    text: str


@dataclass
class Utterance:
    """One utterance of an export.

    Attributes:
        id: of the run; `name` is its safe and unique form.
        recording: name of its recording.
        audio: URI; None if the audio is stored in the run, at `place`: shard, row group and row.
        offset, duration: in the recording, in seconds.
        text: the aligned transcript, else that of the corpus.
        words: in seconds from the start of the utterance.
        units: one for each frame; `grid` has the times of the frames.
        drop: reason not to export it, None to export it.
    """

    id: str
    name: str
    recording: str
    audio: str | None
    place: tuple[str, int, int] | None
    offset: float
    duration: float
    sample_rate: int
    text: str | None
    speaker: str | None
    language: str | None
    split: str | None
    licence: str | None
    corpus: str | None
    words: list[Span]
    units: list[int]
    grid: dict[str, Any] | None
    drop: str | None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Utterance:
        """Inverse of `dataclasses.asdict` and JSON."""
        place = record["place"]
        return cls(
            **{**record, "words": [Span(*word) for word in record["words"]], "place": tuple(place) if place else None}
        )

    def spans(self, tier: str) -> list[Span]:
        """The rows of a tier in seconds from the start of the utterance.

        A segment without a transcript has an empty text. Units are runs of equal units; the last one ends with the
        utterance at the latest.
        """
        if tier == "segments":
            return [Span(0.0, self.duration, self.text or "")]
        if tier == "words":
            return self.words
        if not self.units or self.grid is None:
            return []
        units, lengths = dedup(np.asarray(self.units))
        edges = FrameGrid(**self.grid).starts(np.concatenate([[0], np.cumsum(lengths)]))
        ends = np.minimum(edges[1:], max(self.duration, float(edges[-2])))
        return [
            Span(start, end, str(unit))
            for start, end, unit in zip(edges[:-1].tolist(), ends.tolist(), units.tolist(), strict=True)
        ]


@dataclass
class Counts:
    """Utterances and rows exported, left out by reason, and labels changed by reason.

    Attributes:
        tiers: exported tiers.
        utterances: exported utterances; `seconds` of audio.
        rows: tier -> exported rows.
        left_out: "utterances" or tier -> reason -> number.
        changed: reason -> labels.
    """

    tiers: tuple[str, ...]
    utterances: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def exported(self, utterance: Utterance) -> None:
        """All rows of an utterance are exported."""
        self.count(utterance)
        for tier in self.tiers:
            self.rows[tier] += len(utterance.spans(tier))

    def count(self, utterance: Utterance) -> None:
        """An utterance is exported; its rows are counted elsewhere."""
        self.utterances += 1
        self.seconds += utterance.duration

    def leave_out(self, utterance: Utterance, reason: str) -> None:
        """An utterance is left out with all its rows."""
        self.drop("utterances", reason)
        for tier in self.tiers:
            self.drop(tier, reason, len(utterance.spans(tier)))

    def drop(self, tier: str, reason: str, n: int = 1) -> None:
        """`n` rows of a tier are left out."""
        if n:
            self.left_out.setdefault(tier, Counter())[reason] += n


@dataclass(frozen=True)
class Source:
    """The datasets behind an export."""

    utterances: Dataset
    words: Dataset | None
    units: Dataset | None

    @classmethod
    def of(cls, run: Run) -> Source:
        """The datasets of a run.

        Raises:
            StaleArtifact: the run has no `utterances`, or folders made from other utterances.
        """
        source = cls(run["utterances"], run.get("words"), run.get("units"))
        for other in (source.words, source.units):
            made_from = other.manifest.made_of.get("inputs", {}).get("utterances") if other is not None else None
            if other is not None and made_from not in (None, source.utterances.manifest.fingerprint):
                raise StaleArtifact(
                    f"{other.uri} was made from other utterances; run the stage of {other.kind!r} again"
                )
        return source

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tiers with rows in this run; words of the corpus count."""
        return TIERS if self.units is not None else TIERS[:2]

    def places(self) -> Iterator[tuple[str, str | None]]:
        """(id, audio) of all utterances."""
        for batch in self.utterances.batches(["id", "audio"]):
            yield from zip(batch.column("id").to_pylist(), batch.column("audio").to_pylist(), strict=True)


class Judge:
    """Verdict of each row of `words`: its own, or that of other thresholds.

    Args:
        kept: leave out the rows that are not kept.
        thresholds: options of `filter`; None: the stored verdict.
    """

    def __init__(self, *, kept: bool, thresholds: Any = None) -> None:
        self.kept, self.thresholds = kept, thresholds

    def columns(self, schema: pa.Schema | None) -> list[str] | None:
        """Columns of `words` to read; None: all."""
        if self.thresholds is not None or schema is None:
            return None
        return [name for name in _WORDS if name in schema.names]

    def judge(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with their verdict."""
        from speechprep.pipelines.stages.filter import judged

        return batch if self.thresholds is None else judged(self.thresholds, batch)

    def reason(self, words: Mapping[str, Any] | None) -> str | None:
        """Reason to leave out a row, None to export it."""
        if not self.kept:
            return None
        if words is None:
            return NOT_ALIGNED
        return None if words.get("kept") in (True, None) else (words.get("reason") or "not_kept")


def read_utterances(source: Source, judge: Judge, names: Mapping[str, str]) -> Iterator[Utterance]:
    """All utterances in the order of the shards.

    Args:
        source: the datasets.
        judge: verdicts.
        names: names of recordings by `recording_key`, and of utterances by "#" and the id.
    """
    grid = source.units.extra.get("grid") if source.units is not None else None
    schema = source.utterances.schema
    columns = [name for name in _UTTERANCE if schema is None or name in schema.names]
    for shard in source.utterances.shards:
        words = _by_id(source.words, shard, judge)
        units = {row["id"]: row["units"] for row in _records(source.units, shard, ["id", "units"])}
        for group, at, row in _rows(source.utterances, shard, columns):
            spoken = words.get(row["id"])
            place = None if row["audio"] is not None else (shard, group, at)
            given = (spoken if spoken is not None else row)["words"] or []
            as_stored: dict[str, Any] = {name: row.get(name) for name in _AS_STORED}
            yield Utterance(
                name=names[f"#{row['id']}"],
                recording=names[recording_key(row["id"], row["audio"])],
                place=place,
                words=[Span(word["start"], word["end"], word["text"]) for word in given],
                units=units.get(row["id"]) or [],
                grid=grid,
                drop=_drop(row, spoken, source, judge),
                **as_stored,
                offset=row.get("offset") or 0.0,
                duration=row.get("duration") or 0.0,
                text=spoken["text"] if spoken is not None else row["text"],
                language=(spoken or {}).get("language") or row.get("language"),
            )


def _drop(row: Mapping[str, Any], words: Mapping[str, Any] | None, source: Source, judge: Judge) -> str | None:
    """Reason to leave out an utterance, None to export it."""
    if row.get("duration") is None:
        return NO_AUDIO
    return judge.reason(words) if source.words is not None else None


def recording_key(id: str, audio: str | None) -> str:
    """Key of a recording: its URI, or the id of the utterance with the stored audio."""
    return f"uri:{audio}" if audio is not None else f"id:{id}"


def _rows(dataset: Dataset, shard: str, columns: list[str]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(row group, row in it, record) of a shard."""
    from speechprep.artifacts import shards, storage

    with shards.opened(storage.join(dataset.uri, shard)) as parquet:
        for group in range(parquet.num_row_groups):
            at = 0
            for batch in parquet.iter_batches(row_groups=[group], columns=columns, batch_size=1024):
                for row in batch.to_pylist():
                    yield group, at, row
                    at += 1


def _records(dataset: Dataset | None, shard: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    for batch in dataset.batches(columns, shard) if dataset is not None and shard in dataset.shard_set else ():
        yield from batch.to_pylist()


def _by_id(words: Dataset | None, shard: str, judge: Judge) -> dict[str, dict[str, Any]]:
    if words is None or shard not in words.shard_set:
        return {}
    batches = words.batches(judge.columns(words.schema), shard)
    return {row["id"]: row for batch in batches for row in judge.judge(batch).to_pylist()}
