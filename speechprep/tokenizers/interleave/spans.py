"""Span table: the frames of each word, from which every interleaving is cut.

Consider an utterance of n frames with word starts s_1 <= s_2 <= ... (seconds). Word j has the frames
[frame(s_j), frame(s_{j+1})), and the last word has all remaining frames. Silence therefore goes to the PRECEDING word.
The frames before the first word are the leading gap. Every frame belongs to one word or to the leading gap, so
concatenating the gap and the words restores the utterance. This holds for all times. A start before the previous start
is raised to it, and the earlier word becomes short or empty. A word with a start beyond the end is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechprep.artifacts.timebase import FrameGrid
from speechprep.tokenizers.arrays.ragged import Ints


@dataclass(frozen=True, slots=True)
class SpanTable:
    """Frames of the words of a batch of utterances, counted from the start of the utterance.

    Attributes:
        word_offsets: (n + 1,) utterance i has the words [word_offsets[i], word_offsets[i + 1]).
        n_frames: (n,) number of frames of each utterance.
        starts, stops: (words,) word w has the frames [starts[w], stops[w]).
        lead: (n,) number of frames of the leading gap; without words, all frames.
    """

    word_offsets: Ints
    n_frames: Ints
    starts: Ints
    stops: Ints
    lead: Ints


def span_table(seconds: NDArray[np.float64], word_offsets: Ints, n_frames: NDArray[Any], grid: FrameGrid) -> SpanTable:
    """Span table of a batch.

    Args:
        seconds: (words,) finite word starts, in seconds from the start of the utterance.
        word_offsets: (n + 1,) offsets of the utterances in `seconds`.
        n_frames: (n,) number of frames of each utterance.
        grid: frame grid of the units.
    """
    counts = np.diff(word_offsets)
    frames = np.asarray(n_frames, np.int64)
    starts = np.minimum(np.maximum(grid.frames_at(seconds), 0), np.repeat(frames, counts))
    # A running maximum within each utterance: add an offset above all earlier utterances, then subtract it.
    lift = np.repeat(np.arange(len(counts), dtype=np.int64) * (int(frames.max(initial=0)) + 1), counts)
    starts = np.maximum.accumulate(starts + lift) - lift
    stops = np.empty_like(starts)
    stops[:-1] = starts[1:]
    spoken = counts > 0
    stops[word_offsets[1:][spoken] - 1] = frames[spoken]
    lead = frames.copy()
    lead[spoken] = starts[word_offsets[:-1][spoken]]
    return SpanTable(word_offsets, frames, starts, stops, lead)
