"""ABX error rates of phones, within and across speakers (Schatz 2016; Kahn et al. 2020, Libri-light, section 4.1).

A and X are segments of one phone, B is a segment of another phone, all in the same context. A and B come from one
speaker. X comes from the same speaker (within) or from another speaker (across). A triple is an error if X is nearer to
B than to A, and half an error if both distances are equal. Chance is 0.5.

The rate is a mean of means: over the triples of a cell (phone of A and X, phone of B, context, speaker of A and B,
speaker of X), then over contexts, then over speakers, then over the ordered pairs of phones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from speechprep.tokenizers.abx.dtw import FrameDistance, segment_distances

PAIRS = 1 << 18  # distances computed together

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Context = tuple[str, ...]
Members = dict[str, I64]  # phone -> numbers of its segments
Blocks = dict[Context, dict[str, Members]]  # context -> speaker -> members
Partners = Callable[[Context, str, list[str]], list[str]]
"""(context, speaker, other speakers) -> the speakers of X across speakers."""


@dataclass(frozen=True)
class Segments:
    """Segments of phones.

    Attributes:
        units: (n,) units of all segments, one after the other.
        offsets: (segments + 1,) start of each segment; no segment is empty.
        phones, contexts, speakers: one for each segment.
    """

    units: NDArray[np.unsignedinteger]
    offsets: I64
    phones: list[str]
    contexts: list[Context]
    speakers: list[str]

    def blocks(self) -> Blocks:
        """Numbers of the segments by context, speaker and phone, in sorted order."""
        grouped: dict[tuple[Context, str, str], list[int]] = defaultdict(list)
        for number, key in enumerate(zip(self.contexts, self.speakers, self.phones, strict=True)):
            grouped[key].append(number)
        blocks: Blocks = {}
        for (context, speaker, phone), numbers in sorted(grouped.items()):
            blocks.setdefault(context, {}).setdefault(speaker, {})[phone] = np.array(numbers)
        return blocks


@dataclass(frozen=True)
class Task:
    """Speaker of A and B, and speaker of X, in one context."""

    context: Context
    speaker: str
    other: str
    ab: Members
    x: Members


@dataclass
class ErrorRate:
    """Error rate of one task, within or across speakers.

    Attributes:
        cells: (phone of A and X, phone of B) -> (speaker of A and B, speaker of X) -> errors of the contexts.
        triples: number of compared triples.
    """

    cells: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = field(default_factory=dict)
    triples: int = 0

    def add(self, phones: tuple[str, str], speakers: tuple[str, str], errors: F64) -> None:
        """Add a cell with the errors of its triples: 0, 0.5 or 1."""
        self.cells.setdefault(phones, {}).setdefault(speakers, []).append(float(errors.mean()))
        self.triples += errors.size

    def pairs(self) -> dict[tuple[str, str], float]:
        """Error of each ordered pair of phones."""
        return {
            phones: float(np.mean([np.mean(errors) for errors in by_speakers.values()]))
            for phones, by_speakers in sorted(self.cells.items())
        }

    @property
    def error(self) -> float | None:
        """The error rate, from 0 to 1; None without a triple."""
        pairs = self.pairs()
        return float(np.mean(list(pairs.values()))) if pairs else None

    def by_phone(self) -> dict[str, float]:
        """Mean error of the pairs with a phone on either side."""
        of_phone: dict[str, list[float]] = defaultdict(list)
        for phones, error in self.pairs().items():
            for phone in phones:
                of_phone[phone].append(error)
        return {phone: float(np.mean(errors)) for phone, errors in sorted(of_phone.items())}


def error_rates(segments: Segments, distance: FrameDistance, partners: Partners) -> tuple[ErrorRate, ErrorRate]:
    """Error rates within and across speakers."""
    within, across = ErrorRate(), ErrorRate()
    for task, distances in _with_distances(segments, distance, _tasks(segments.blocks(), partners)):
        rate = within if task.other == task.speaker else across
        place = _places(task.ab), _places(task.x)
        for a, b in product(task.x, task.ab):
            if a == b or a not in task.ab:
                continue
            to_a = distances[np.ix_(place[0][a], place[1][a])]
            to_b = distances[np.ix_(place[0][b], place[1][a])]
            errors = _errors(to_a, to_b, same=rate is within)
            if errors.size:
                rate.add((a, b), (task.speaker, task.other), errors)
    return within, across


def _errors(to_a: F64, to_b: F64, *, same: bool) -> F64:
    """Errors of all triples, from the distances A to X (a, x) and B to X (b, x). `same`: A and X are one set."""
    errors = np.where(to_b[None] < to_a[:, None], 1.0, np.where(to_b[None] == to_a[:, None], 0.5, 0.0))
    if same:
        return np.asarray(errors.transpose(0, 2, 1)[~np.eye(len(to_a), dtype=bool)])
    return errors


def _tasks(blocks: Blocks, partners: Partners) -> Iterator[Task]:
    for context, by_speaker in blocks.items():
        for speaker, members in by_speaker.items():
            if len(members) < 2:
                continue
            if any(len(numbers) > 1 for numbers in members.values()):
                yield Task(context, speaker, speaker, members, members)
            others = [other for other in by_speaker if other != speaker and set(by_speaker[other]) & set(members)]
            for other in partners(context, speaker, others):
                shared = {phone: numbers for phone, numbers in by_speaker[other].items() if phone in members}
                yield Task(context, speaker, other, members, shared)


def _places(members: Members) -> dict[str, I64]:
    """Rows of the segments of each phone in the matrix of a task."""
    edges = np.cumsum([0, *map(len, members.values())])
    return {phone: np.arange(edges[i], edges[i + 1]) for i, phone in enumerate(members)}


def _with_distances(segments: Segments, distance: FrameDistance, tasks: Iterator[Task]) -> Iterator[tuple[Task, F64]]:
    """Each task with its distances (segments of `ab`, segments of `x`); small tasks are computed together."""
    waiting: list[tuple[Task, I64, I64]] = []
    size = 0
    for task in tasks:
        rows, columns = (np.concatenate(list(members.values())) for members in (task.ab, task.x))
        waiting.append((task, rows, columns))
        size += len(rows) * len(columns)
        if size >= PAIRS:
            yield from _computed(segments, distance, waiting)
            waiting, size = [], 0
    if waiting:
        yield from _computed(segments, distance, waiting)


def _computed(
    segments: Segments, distance: FrameDistance, waiting: list[tuple[Task, I64, I64]]
) -> Iterator[tuple[Task, F64]]:
    left = np.concatenate([np.repeat(rows, len(columns)) for _, rows, columns in waiting])
    right = np.concatenate([np.tile(columns, len(rows)) for _, rows, columns in waiting])
    values = segment_distances(segments.units, segments.offsets, left, right, distance)
    start = 0
    for task, rows, columns in waiting:
        stop = start + len(rows) * len(columns)
        yield task, values[start:stop].reshape(len(rows), len(columns))
        start = stop


def possible_triples(counts: dict[Context, dict[str, dict[str, int]]]) -> tuple[int, int]:
    """Triples within and across speakers without subsampling, from the segments by context, speaker and phone."""
    within = across = 0
    for by_speaker in counts.values():
        for members in by_speaker.values():
            total = sum(members.values())
            within += sum(n * (n - 1) * (total - n) for n in members.values())
        for one, other in permutations(by_speaker.values(), 2):
            total = sum(one.values())
            across += sum(n * (total - n) * other.get(phone, 0) for phone, n in one.items())
    return within, across
