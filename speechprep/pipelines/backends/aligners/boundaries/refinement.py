"""Search results of PocketSphinx with refined borders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speechprep.pipelines.backends.aligners.timing import Position, Spoken
from speechprep.pipelines.backends.transcript import Interval
from speechprep.tokenizers.alignment.border_inputs import border_inputs
from speechprep.tokenizers.alignment.boundary_offsets import TimedWord
from speechprep.tokenizers.alignment.boundary_refiner import SHORTEST, Refiner, ordered


def refined(
    refiner: Refiner,
    audio: NDArray[np.float32],
    placed: Sequence[Spoken | None],
    phones: Sequence[Sequence[str]],
    frame_rate: float,
    offset: float,
    limit: int,
) -> Sequence[Position | None]:
    """The positions after refinement; words stay in order and do not overlap.

    Args:
        refiner: of the artifact `boundaries`.
        audio: (n,) at 16 kHz, of one window.
        placed: words in it, in order; None for a word without a position.
        phones: of each word.
        frame_rate: frames per second of the search.
        offset: seconds added to every border later.
        limit: frame after the last one of these words.
    """
    numbers = [number for number, spoken in enumerate(placed) if spoken is not None]
    words = [spoken for spoken in placed if spoken is not None]
    timed = [
        TimedWord(word.start / frame_rate + offset, word.end / frame_rate + offset, phones[number])
        for word, number in zip(words, numbers, strict=True)
    ]
    pairs = border_inputs(audio, timed) if timed else []
    places = refiner.places([border for pair in pairs for border in pair])
    moved = [
        ((start.time - offset) * frame_rate, (end.time - offset) * frame_rate)
        for start, end in zip(places[::2], places[1::2], strict=True)
    ]
    intervals = [
        Interval(start.low, start.high, end.low, end.high).scaled(frame_rate, -offset * frame_rate, math.inf)
        for start, end in zip(places[::2], places[1::2], strict=True)
    ]
    shortest = [min(SHORTEST * frame_rate, word.end - word.start) for word in words]
    result: list[Position | None] = list(placed)
    times = ordered(moved, shortest, limit)
    for number, word, (start, end), interval in zip(numbers, words, times, intervals, strict=True):
        result[number] = Position(start, end, word.score, interval)
    return result
