"""sample: utterances -> sample, the frames for k-means.

Reads `utterances` (and the lengths of the whole corpus). Writes `sample`, one output shard for each input shard.

Row: id, frames list<int32> (frame numbers), silent list<bool>, features large_binary ((len(frames), dim) float32,
little-endian). A frame is kept iff hash(seed, utterance id, frame number) is below a threshold. The threshold
gives about `max_frames` frames of the corpus. The same plan keeps the same frames for any shards and workers. For
200,000 frames of a large corpus only part of its utterances is decoded: about `spread` frames are extracted for each
kept frame. `balance` takes the same number of frames from each group.

For an extractor with `window_frames` (Whisper), a row also has: positions list<int32> (number of each frame in the
window of the model), mfcc large_binary ((n, 39) for the first n frames, those of the first window), and for about 16
utterances shifted list<large_binary> (frames of the speech after each lead of noise; see `pipelines.shift`).

A frame is silent if its level is `SILENCE_DB` below the loud part of its utterance; `cluster` limits the share of
silent frames.

Rejected: undecodable audio, and `audio_too_short` for less than one frame.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from speechprep.artifacts.timebase import FrameGrid, num_samples
from speechprep.pipelines.backends import Extractor
from speechprep.pipelines.engine.context import ShardContext
from speechprep.pipelines.engine.stage import Finished, Read, Stage
from speechprep.pipelines.features import ExtractorConfig, described, for_each_utterance, frames
from speechprep.pipelines.shift import Head, head_samples, is_tested, lead_frames, mfcc_at, shifted_frames
from speechprep.registry import make
from speechprep.tokenizers.arrays.keyed_random import uniform_numbers

SAMPLE = pa.schema(
    [
        ("id", pa.string()),
        ("frames", pa.list_(pa.int32())),
        ("silent", pa.list_(pa.bool_())),
        ("features", pa.large_binary()),
    ]
)
POSITIONED = pa.schema(  # of an extractor with `window_frames`
    [
        *SAMPLE,
        ("positions", pa.list_(pa.int32())),
        ("mfcc", pa.large_binary()),
        ("shifted", pa.list_(pa.large_binary())),
    ]
)
SILENCE_DB = 35.0  # below the 95th percentile of the utterance's levels
SILENCE_DBFS = -70.0  # a frame below this level is always silent
F32 = NDArray[np.float32]


Column = Literal["corpus", "licence", "language", "split", "speaker"]
Balance = Literal["none"] | Column | list[Column]
Group = tuple[str, ...]


class Config(ExtractorConfig):
    """Options of `sample`."""

    max_frames: int = Field(200_000, ge=1, description="approximate number of frames to keep of the whole corpus")
    balance: Balance = Field(
        "none",
        description="take equal numbers of frames from each corpus, speaker, language, split or licence; a list such"
        " as [corpus, speaker] balances the corpora, then the speakers in each",
    )
    spread: float = Field(
        20.0,
        ge=1.0,
        description="extract at most this many frames for each kept frame; higher: more utterances, more work",
    )

    @property
    def columns(self) -> list[str]:
        """Balanced columns of `utterances`, the outermost first."""
        named = [self.balance] if isinstance(self.balance, str) else list(self.balance)
        return [column for column in named if column != "none"]


@dataclass(frozen=True)
class SamplingPlan:
    """Share of the frames to keep, by group, and the share of a group's utterances to look into.

    Attributes:
        seed: of the run; `share`: of the frames of each group; `spread`: see `Config`.
        columns: utterances with equal values in these columns are a group; without columns there is one group, ().
    """

    seed: int
    share: dict[Group, float]
    spread: float
    columns: list[str]

    @classmethod
    def make(cls, config: Config, seed: int, frames_of: dict[Group, float]) -> SamplingPlan:
        """The plan for groups of so many frames: all groups give the same number, small groups all of their frames."""
        level = fair_shares(frames_of, config.max_frames)
        share = {group: min(1.0, level[group] / n) if n > 0 else 1.0 for group, n in frames_of.items()}
        return cls(seed, share, config.spread, config.columns)

    def _group(self, row: dict[str, Any]) -> float:
        return self.share.get(group_of(row, self.columns), 1.0)

    def wants(self, row: dict[str, Any]) -> bool:
        """True where some frames of this utterance may be kept."""
        looked_into = min(1.0, self._group(row) * self.spread)
        return bool(uniform_numbers(self.seed, row["id"], np.zeros(1, np.int64))[0] < looked_into)

    def keep(self, row: dict[str, Any], start: int, stop: int) -> NDArray[np.int64]:
        """Kept frames of [start, stop) of an utterance; none if it is not chosen."""
        if not self.wants(row):
            return np.zeros(0, np.int64)
        share = self._group(row)
        draws = uniform_numbers(self.seed, row["id"], np.arange(start + 1, stop + 1))
        return start + np.flatnonzero(draws < share / min(1.0, share * self.spread))


def fair_level(sizes: list[float], total: float) -> float:
    """The level L at which sum(min(size, L)) is `total`; infinite where all sizes together are not more."""
    left = float(total)
    for done, size in enumerate(sorted(sizes)):
        level = left / (len(sizes) - done)
        if size > level:
            return level
        left -= size
    return math.inf


def fair_shares(frames_of: dict[Group, float], total: float) -> dict[Group, float]:
    """Largest number of frames of each group: equal for the values of the first column, then within each of them."""
    if not frames_of or not next(iter(frames_of)):
        return dict.fromkeys(frames_of, total)
    nested: dict[str, dict[Group, float]] = defaultdict(dict)
    for (first, *rest), n in frames_of.items():
        nested[first][tuple(rest)] = n
    level = fair_level([sum(groups.values()) for groups in nested.values()], total)
    return {
        (first, *rest): n
        for first, groups in nested.items()
        for rest, n in fair_shares(groups, min(level, sum(groups.values()))).items()
    }


def group_of(row: dict[str, Any], columns: list[str]) -> Group:
    """The group of an utterance; utterances with an unknown value form one group."""
    return tuple(row.get(column) or "" for column in columns)


class LevelMeter:
    """Measures the level of each stride of passing audio."""

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._rest = np.zeros(0, np.float32)
        self._energy: list[NDArray[np.float64]] = []

    def through(self, blocks: Iterator[F32]) -> Iterator[F32]:
        """The same blocks."""
        for block in blocks:
            joined = np.concatenate([self._rest, block]) if len(self._rest) else block
            whole = len(joined) // self._stride
            strides = joined[: whole * self._stride].reshape(whole, self._stride).astype(np.float64)
            self._energy.append((strides * strides).mean(axis=1))
            self._rest = joined[whole * self._stride :]
            yield block

    def silent(self, n_frames: int) -> NDArray[np.bool_]:
        """Whether each of the first `n_frames` strides is silent."""
        energy = np.concatenate([*self._energy, np.zeros(n_frames)])[:n_frames]
        level = 10 * np.log10(np.maximum(energy, 1e-12))
        return np.asarray(level < max(float(np.percentile(level, 95)) - SILENCE_DB, SILENCE_DBFS))


def sample_utterance(
    extractor: Extractor,
    plan: SamplingPlan,
    row: dict[str, Any],
    blocks: Iterator[F32],
    noise: np.random.Generator | None = None,
) -> tuple[dict[str, Any] | None, int]:
    """Output row of one utterance (None for an empty row), and its number of frames.

    `noise` is a generator for an utterance in the shift test, None for all others.
    """
    meter = LevelMeter(extractor.grid.stride)
    head = Head(head_samples(extractor) if extractor.window_frames else 0)
    kept: list[F32] = []
    numbers: list[NDArray[np.int64]] = []
    n = 0
    for part in frames(extractor, blocks, lambda audio: head.through(meter.through(audio))):
        indices = plan.keep(row, n, n + len(part))
        kept.append(part[indices - n])
        numbers.append(indices)
        n += len(part)
    chosen = np.concatenate(numbers)
    shifted = shifted_frames(extractor, head.samples, noise) if noise is not None else []
    if not len(chosen) and not shifted:
        return None, n
    features = np.ascontiguousarray(np.concatenate(kept), "<f4").tobytes()
    silent = meter.silent(n)[chosen]
    result = {"id": row["id"], "frames": chosen.astype(np.int32), "silent": silent, "features": features}
    if extractor.window_frames:
        first = extractor.grid.starts(chosen[chosen < extractor.window_frames])
        result |= {
            "positions": extractor.window_positions(n)[chosen].astype(np.int32),
            "mfcc": np.asarray(mfcc_at(head.samples, extractor.sample_rate, first), "<f4").tobytes(),
            "shifted": [np.ascontiguousarray(part, "<f4").tobytes() for part in shifted] or None,
        }
    return result, n


def frames_by_group(
    batches: Iterator[pa.RecordBatch], columns: list[str], seconds: float, grid: FrameGrid
) -> dict[Group, float]:
    """Frames of the whole corpus, by the balanced columns.

    Args:
        batches: rows of the corpus with `columns` and `duration`; not read without columns.
        columns: the balanced columns.
        seconds: length of the corpus.
        grid: of the extractor.
    """
    if not columns:
        return {(): round(seconds, 3) * grid.rate}
    # In whole samples: the sum depends neither on the order of the rows nor on the shards.
    samples: dict[Group, int] = defaultdict(int)
    for batch in batches:
        for row in batch.to_pylist():
            samples[group_of(row, columns)] += num_samples(row["duration"] or 0.0, grid.sample_rate)
    return {group: n / grid.stride for group, n in sorted(samples.items())}


def run(ctx: ShardContext) -> None:
    """One shard."""
    columns = ctx.config.columns
    corpus = ctx.batches("corpus", [*columns, "duration"], rows=4096)
    frames_of = frames_by_group(corpus, columns, ctx.total("corpus")["seconds"], ctx.backend.grid)
    plan = SamplingPlan.make(ctx.config, ctx.seed, frames_of)
    rows = ctx.total("corpus")["rows"]

    def tested(row: dict[str, Any]) -> bool:
        return bool(ctx.backend.window_frames) and is_tested(ctx.seed, row["id"], rows)

    def work(row: dict[str, Any], blocks: Iterator[F32]) -> dict[str, Any] | None:
        noise = ctx.rng(f"shift\0{row['id']}") if tested(row) else None
        result, n = sample_utterance(ctx.backend, plan, row, blocks, noise)
        kept = len(result["frames"]) if result else 0
        silent = int(result["silent"].sum()) if result else 0
        ctx.done(frames_extracted=n, frames_kept=kept, frames_kept_silent=silent)
        return result

    def wanted(row: dict[str, Any]) -> bool:
        return plan.wants(row) or tested(row)

    for_each_utterance(ctx, work, plan.columns, wanted, together=ctx.backend.extract)


def facts(finished: Finished) -> dict[str, Any]:
    """The extractor, the plan, and how many frames there were, were extracted and were kept."""
    extractor: Extractor = make("extractors", finished.config.backend, finished.config.options)
    counters = [s.counters for s in finished.shards]
    total = {name: int(sum(c.get(name, 0) for c in counters)) for name in ("frames_extracted", "frames_kept")}
    corpus = round(finished.inputs["corpus"].seconds * extractor.grid.rate)
    plan = {name: getattr(finished.config, name) for name in ("max_frames", "balance", "spread")}
    made = {**described(finished.config, extractor), "plan": plan, "frames_in_corpus": corpus, **total}
    if extractor.window_frames:
        made["window_frames"] = extractor.window_frames
        made["shift_leads"] = lead_frames(extractor.grid, extractor.window_frames)
    return made


STAGE = Stage(
    name="sample",
    version=1,
    # The threshold depends on the length of the whole corpus, so a shard's key must too: read once more as `corpus`.
    reads=(Read("utterances", "utterances"), Read("corpus", "utterances", sharded=False)),
    writes="sample",
    config=Config,
    run=run,
    schema=lambda ctx: POSITIONED if ctx.backend.window_frames else SAMPLE,
    backend=lambda config, extras: make("extractors", config.backend, config.options),
    facts=facts,
    # Version 2 added the columns of an extractor with a window; the bytes of all others are the same.
    version_of=lambda extractor: 2 if extractor.window_frames else 1,
    help="Draw the frames for k-means.\n\n`cluster` draws them itself if the run has no sample.",
    examples=(
        "speechprep sample --input run/utterances --out run/sample --set max_frames=1000000 --set balance=speaker",
    ),
)
