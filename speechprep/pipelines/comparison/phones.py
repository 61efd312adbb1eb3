"""Units of a run with the phones of a label table: purity and PNMI, and the segments of ABX tests.

A frame belongs to the label at the centre of its window, as in `cluster`. A segment of ABX is the frames of one phone,
or of a phone with its two neighbours (a triphone). Its context is the pair of neighbours, or nothing.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.run import Run
from speechprep.artifacts.timebase import FrameGrid
from speechprep.errors import StaleArtifact
from speechprep.pipelines.labels import Labelled, rows_at
from speechprep.pipelines.stages.cluster.quality import agreement_of_counts
from speechprep.tokenizers.abx.score import Context, Segments
from speechprep.tokenizers.arrays.keyed_random import Hashes, record_keys, salted

GAP_SECONDS = 0.02  # a longer pause separates neighbours
SILENCES = frozenset({"", "sil", "sp", "spn", "h#", "pau", "epi", "<eps>"})  # compared in lower case

Contexts = Literal["triphone", "phone"]
Units = NDArray[np.unsignedinteger]
Labels = dict[str, Labelled]


def units_of_run(run: Run, labels: Labels) -> Iterator[tuple[Labelled, Units]]:
    """Labels and units (frames,) of each utterance with both.

    Raises:
        StaleArtifact: the run has no units, or no utterance of the table.
    """
    matched = False
    for batch in run["units"].batches(["id", "units"], rows=256):
        for id, units in zip(batch.column("id").to_pylist(), batch.column("units"), strict=True):
            if id in labels:
                matched = True
                yield labels[id], units.values.to_numpy(zero_copy_only=False)
    if not matched:
        example = next(iter(labels), "")
        raise StaleArtifact(
            f"{run.uri}: no utterance of the units has a label; the first id of the table is {example!r}. "
            "Correct the column id of the table"
        )


def grid_of(run: Run) -> FrameGrid:
    """Frame grid of the units."""
    return FrameGrid(**run["units"].extra["grid"])


def phone_agreement(run: Run, labels: Labels) -> dict[str, float]:
    """Purity and PNMI of the units against the labels; frames outside all labels are left out."""
    grid = grid_of(run)
    numbers: dict[str, int] = {}
    counts: Counter[tuple[int, int]] = Counter()
    for (_, starts, ends, names), units in units_of_run(run, labels):
        of_row = np.array([*(numbers.setdefault(name, len(numbers)) for name in names), -1])
        label = of_row[rows_at(grid.centres(np.arange(len(units))), starts, ends)]
        pairs = np.stack([label, units.astype(np.int64)])[:, label >= 0]
        distinct, frames = np.unique(pairs, axis=1, return_counts=True)
        counts.update({(label, unit): n for label, unit, n in np.vstack([distinct, frames]).T.tolist()})
    if not counts:
        return {}
    return agreement_of_counts(np.array(list(counts)).T, np.array(list(counts.values())))


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A segment in the heap of its group; the one with the largest key is first."""

    rank: tuple[int, str, int]  # (-key, id, first frame)
    units: Any = field(compare=False)


@dataclass
class SegmentSample:
    """At most `largest` segments of each phone, context and speaker: those with the lowest keys.

    The key of a segment follows from the seed, the id of the utterance and the first frame alone.

    Attributes:
        counts: context -> speaker -> phone -> number of segments before subsampling.
        left_out: reason -> number of phones without a segment.
    """

    largest: int
    counts: dict[Context, dict[str, Counter[str]]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    _heaps: dict[tuple[Context, str, str], list[Candidate]] = field(default_factory=lambda: defaultdict(list))

    def add(self, context: Context, speaker: str, phone: str, rank: tuple[int, str, int], units: Units) -> None:
        """Add a segment; `rank` is (-key, id, first frame)."""
        self.counts.setdefault(context, {}).setdefault(speaker, Counter())[phone] += 1
        heap, candidate = self._heaps[context, speaker, phone], Candidate(rank, units)
        if len(heap) < self.largest:
            heapq.heappush(heap, candidate)
        elif rank > heap[0].rank:
            heapq.heapreplace(heap, candidate)

    def segments(self) -> Segments:
        """The kept segments, in an order without influence of the shards."""
        groups = sorted(self._heaps.items())
        kept = [(key, one) for key, heap in groups for one in sorted(heap)]
        units = [one.units for _, one in kept]
        offsets = np.cumsum([0, *map(len, units)])
        flat = np.concatenate(units) if units else np.zeros(0, np.uint16)
        keys = [key for key, _ in kept]
        return Segments(flat, offsets, [k[2] for k in keys], [k[0] for k in keys], [k[1] for k in keys])


def drawn(labels: Labels, phones: int, seed: int) -> Labels:
    """The utterances with the lowest keys, as many as have at most `phones` labels together (at least one)."""
    ids = sorted(labels)
    order = np.argsort(record_keys(seed, "abx utterances", ids), kind="stable")
    counts = np.cumsum([len(labels[ids[i]][3]) for i in order])
    taken = max(int(np.searchsorted(counts, phones, side="right")), 1)
    return {ids[i]: labels[ids[i]] for i in order[:taken]}


def sample_segments(
    run: Run, labels: Labels, speakers: dict[str, str], context: Contexts, largest: int, seed: int
) -> SegmentSample:
    """Segments of all phones besides silences (`SILENCES`), from utterances with a speaker."""
    grid, sample = grid_of(run), SegmentSample(largest)
    for (id, starts, ends, names), units in units_of_run(run, labels):
        if id not in speakers:
            sample.left_out["no speaker"] += len(names)
            continue
        key = record_keys(seed, "abx", [id])
        for i, name in enumerate(names):
            if name.lower() in SILENCES:
                sample.left_out["silence"] += 1
                continue
            neighbours = _neighbours(starts, ends, i) if context == "triphone" else (i, i)
            if neighbours is None:
                sample.left_out["no neighbour"] += 1
                continue
            first, last = neighbours
            at = _frames(grid, float(starts[first]), float(ends[last]), len(units))
            if at.start >= at.stop:
                sample.left_out["no frame"] += 1
                continue
            around = (names[first], names[last]) if context == "triphone" else ()
            sample.add(around, speakers[id], name, (-_key_of(key, at.start), id, at.start), units[at].copy())
    return sample


def _key_of(key: Hashes, frame: int) -> int:
    return int(salted(key + np.uint64(frame), 0)[0])


def _neighbours(starts: NDArray[np.float64], ends: NDArray[np.float64], i: int) -> tuple[int, int] | None:
    """Numbers of the labels before and after label i; None if one is missing or not adjacent."""
    if not 0 < i < len(starts) - 1:
        return None
    gaps = starts[i] - ends[i - 1], starts[i + 1] - ends[i]
    return None if max(map(abs, gaps)) > GAP_SECONDS else (i - 1, i + 1)


def _frames(grid: FrameGrid, start: float, end: float, n: int) -> slice:
    """The frames with their centre in [start, end)."""
    low = grid.frame_at(max(start, 0.0), n)
    near = np.arange(max(low - 1 - grid.window // grid.stride, 0), min(grid.frame_at(max(end, 0.0), n) + 1, n))
    centres = grid.centres(near)
    inside = near[(centres >= start) & (centres < end)]
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
